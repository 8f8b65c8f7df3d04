"""The checks of the notebook on tuning the embedder praise the solution and name the mistake."""

import numpy as np
import pytest

from utils.exercises import tuning_the_embedder as exercises


def solved(cosines: np.ndarray) -> float:
    scores = 20 * cosines
    return (np.log(np.exp(scores).sum(axis=1)) - np.diagonal(scores)).mean()


def shares(cosines: np.ndarray) -> np.ndarray:
    return np.exp(20 * cosines) / np.exp(20 * cosines).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("answer, says", [
    (solved, "Right"),
    (lambda cosines: None, "Not filled in"),
    (lambda cosines: -solved(cosines), "The sign"),
    (lambda cosines: 2 * solved(cosines), "the sum over the questions"),
    (lambda cosines: solved(cosines / 20), "scale is missing"),
    (lambda cosines: solved(cosines[:, :2]), "hard negatives"),
    (lambda cosines: (np.log(np.exp(20 * cosines).sum(axis=0))[:2]
                      - np.diagonal(20 * cosines)).mean(), "axis 1"),
    (lambda cosines: np.diagonal(shares(cosines)).mean(), "logarithm"),
    (lambda cosines: -np.log(np.diagonal(shares(cosines))), "one number"),
    (lambda cosines: solved(cosines) + 0.1, "it should be"),
    (lambda cosines: cosines["right"], "IndexError"),
])
def test_the_check_of_the_loss_names_the_mistake(answer, says, capsys):
    exercises.check_ranking_loss(answer)
    assert says in capsys.readouterr().out


def test_the_right_loss_is_the_librarys():
    import torch
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    cosines = torch.tensor(exercises.COSINES)
    loss = MultipleNegativesRankingLoss(model=None, similarity_fct=lambda a, b: cosines)
    rows = torch.zeros(2, 3, dtype=torch.float64)
    found = loss.compute_loss_from_embeddings([rows, rows, rows], labels=None)
    assert float(found) == pytest.approx(solved(exercises.COSINES))


def test_the_check_of_the_verdicts_gives_the_reason(capsys):
    exercises.check_verdicts(dict(exercises.VERDICTS))
    assert capsys.readouterr().out.startswith("Right")
    exercises.check_verdicts(dict.fromkeys(exercises.VERDICTS))
    assert "Not filled in" in capsys.readouterr().out
    exercises.check_verdicts(dict.fromkeys(exercises.VERDICTS, "perhaps"))
    assert "'perhaps' is not one of" in capsys.readouterr().out
    exercises.check_verdicts(dict.fromkeys(exercises.VERDICTS, "take it"))
    said = capsys.readouterr().out
    assert said.count("think again") == 3 and "it has seen the answers" in said
    assert set(exercises.WHY) == set(exercises.VERDICTS)
