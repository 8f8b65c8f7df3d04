"""One file a notebook: the checks of its exercises. A check names the likely mistake."""
