"""Generated companies: kinds of fact from `facts/*.txt`, things that have them, values from
wide spaces, and the sentences, rows and lines in which a company would write them down.

    python data/recipes/facts.py          # counts the kinds and prints a few facts
"""

from __future__ import annotations

import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "facts"
ONSETS = ("b br c ch cl d dr f fl g gl gr h j k kl l m n p pl pr qu r s sh sk sl st t th tr v w y z"
          ).split()
NUCLEI = "a e i o u ae ai ea ee ei ia ie io oa oo ou ua y".split()
CODAS = ["", "", "", "l", "n", "r", "s", "t", "x", "ld", "nd", "rk", "rn", "ss", "th", "ck", "mm"]
NOUNS = {
    "product": "kettle lamp drill heater stove router printer scanner camera backpack tent mixer "
               "blender oven fridge freezer dryer vacuum humidifier fan desk chair mattress sofa "
               "shelf ladder pump sander saw toaster speaker headset monitor keyboard projector "
               "boiler thermostat purifier scale microscope telescope pram cot mower trimmer "
               "greenhouse hammock cooler torch radio clock piano guitar amplifier jacket boots",
    "part": "filter gasket hinge belt fuse cartridge nozzle seal battery charger cable lid valve "
            "bearing roller blade handle knob tray hose sensor remote bracket wheel lens membrane",
    "service": "express cleaning|home delivery|installation|data recovery|annual check|hire|"
               "translation|storage|catering|engraving|tuning|alteration|repair|pick-up|support|"
               "consultation|assembly|inspection|disposal|restoration|training",
    "plan": "Basic|Plus|Family|Student|Team|Premium|Starter|Weekend|Business|Senior|Solo|Flex|"
            "Classic|Compact|Gold|Evening|Saver|Duo|Prime|Light",
    "place": "branch|depot|office|workshop|showroom|warehouse|store|clinic|studio|reading room|"
             "garden|counter|archive|canteen|laboratory|yard|reception|pool|gallery|hall",
    "course": "pottery|sewing|first-aid|Italian|photography|carpentry|swimming|yoga|baking|"
              "bookkeeping|drawing|welding|chess|choir|public-speaking|coding|calligraphy|"
              "upholstery|wine-tasting|gardening",
    "event": "spring fair|open day|lantern walk|book market|summer concert|jazz night|charity run|"
             "harvest supper|members' evening|flea market|science night|film week|opening gala|"
             "annual meeting|ceramics market|winter bazaar|quiz night|family day",
    "order": "standing order|sample order|bulk order|spare-parts order|gift order|pre-order|"
             "trade order|web order|telephone order|repeat order",
    "vehicle": "van|minibus|estate car|lorry|shuttle|trailer|forklift|camper|hatchback|pick-up",
    "food": "lentil soup|rye loaf|apple tart|fish pie|noodle salad|mushroom risotto|goat cheese|"
            "lamb stew|oat bar|plum jam|ginger cake|bean chilli|pumpkin curry|herring roll|"
            "walnut bread|lemon sorbet|barley stew|cheese platter",
}
FIRST = ("Odette Bram Yusuf Marit Caspar Ines Tobias Leonie Dario Priya Anselm Greta Ruben Noor "
         "Felix Ilka Matteo Sanna Jonas Vera Hugo Amira Till Rosalind Kenji Paula Ivo Nadia Emil "
         "Thea Omar Birgit Silvan Maud Rafael Ottoline Piet Zora Lukas Edda").split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = ("January February March April May June July August September October November "
          "December").split()
COLOURS = ("graphite|moss green|cream|brick red|navy|slate blue|mustard|charcoal|ivory|copper|"
           "pale grey|burgundy|olive|white|black|sand|teal|rust").split("|")
MATERIALS = ("beech|stainless steel|recycled aluminium|cotton|wool felt|cast iron|ceramic|bamboo|"
             "glass|oak veneer|nylon|silicone|brass|cork|linen|polycarbonate|leather").split("|")
COUNTRIES = ("Norway|Portugal|Estonia|Canada|Japan|Greece|Finland|Chile|Poland|Ireland|Slovenia|"
             "Morocco|Iceland|Vietnam|Italy|Spain|Latvia|Malta").split("|")
SEASONS = "spring|summer|autumn|winter|early spring|late summer".split("|")
UNITS = {"weight_kg": "kg", "weight_g": "g", "length_cm": "cm", "length_mm": "mm",
         "distance_m": "m", "distance_km": "km", "volume_l": "litres", "volume_ml": "ml",
         "temperature_c": "°C", "power_w": "W", "voltage_v": "V", "pressure_bar": "bar",
         "speed_kmh": "km/h", "loudness_db": "dB", "data_gb": "GB"}
WORDS = ("zero one two three four five six seven eight nine ten eleven twelve").split()


@dataclass(frozen=True)
class Kind:
    """One kind of fact: what it is about, its values, and how it is said and asked."""

    name: str
    about: str
    label: str
    value: str
    says: tuple[str, ...]
    asks: tuple[str, ...]


def read_kinds(folder: Path = FOLDER) -> list[Kind]:
    """The kinds of all files in the folder."""
    kinds = []
    for path in sorted(folder.glob("*.txt")):
        for block in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            lines = [line.strip() for line in block.splitlines() if line.strip()]
            if not lines or not lines[0].startswith("["):
                continue
            found: dict[str, list[str]] = {}
            for line in lines[1:]:
                key, _, text = line.partition(":")
                found.setdefault(key.strip(), []).append(text.strip())
            kinds.append(Kind(lines[0].strip("[]"), found["about"][0], found["label"][0],
                              found["value"][0], tuple(found["say"]), tuple(found["ask"])))
    return kinds


def word(rng: random.Random, syllables: int | None = None) -> str:
    """An invented name of one to three syllables."""
    count = syllables or rng.choice((1, 2, 2, 2, 3))
    made = "".join(rng.choice(ONSETS) + rng.choice(NUCLEI) for _ in range(count))
    return (made + rng.choice(CODAS)).capitalize()


def person(rng: random.Random) -> str:
    return f"{rng.choice(FIRST) if rng.random() < 0.7 else word(rng, 2)} {word(rng)}"


def thing(rng: random.Random, about: str) -> str:
    """A name for something of that category, with its article where English wants one."""
    brand = word(rng)
    if about == "company":
        return rng.choice(("our house", "the company", f"{brand} Ltd", f"the {brand} group", brand,
                           f"{brand} & {word(rng)}"))
    if about == "person":
        return rng.choice(("", "", "Ms ", "Mr ", "Dr ")) + person(rng)
    if about == "room":
        return rng.choice((f"Room {rng.randint(1, 420)}", f"Room {brand}", f"the {brand} room",
                           f"the {brand} hall", f"Studio {rng.randint(1, 9)}"))
    split = "|" if "|" in NOUNS.get(about, "|") else " "
    noun = rng.choice(NOUNS.get(about, NOUNS["product"]).split(split))
    number = rng.choice(("", "", f" {rng.randint(2, 9)}", f" {rng.randint(1, 99) * 10}",
                         f" {rng.choice('ABCDEGKMPRSTX')}{rng.randint(1, 90)}", " II", " Pro"))
    if about == "plan":
        return rng.choice((f"the {noun} plan", f"the {brand} {noun} plan", f"{brand} {noun}"))
    if about == "place":
        return rng.choice((f"our {brand} {noun}", f"the {noun} in {brand}", f"the {brand} {noun}"))
    if about in {"service", "event"}:
        return rng.choice((f"the {noun}", f"our {noun}" if about == "service" else f"the {noun}",
                           f"{brand} {noun}", f"the {brand} {noun}"))
    if about == "course":
        return rng.choice((f"the {rng.choice(DAYS)} {noun} course", f"the {noun} course",
                           f"the {noun} class with {rng.choice(FIRST)}",
                           f"the {brand} {noun} course"))
    if about in {"order", "food"}:
        return rng.choice((f"the {noun}", f"the {brand} {noun}"))
    return rng.choice((f"the {brand}{number} {noun}", f"the {brand}{number}",
                       f"the {brand} {noun}"))


def number(rng: random.Random, low: float, high: float) -> int:
    """A whole number, small ones more often than a flat draw would give, round ones too."""
    value = round(low * (high / max(low, 1)) ** rng.random()) if high > 12 * max(low, 1) \
        else rng.randint(int(low), max(int(low), int(high)))
    if value > 60 and rng.random() < 0.5:
        value = round(value, -1)
    return max(int(low), min(int(high), value))


def value(rng: random.Random, spec: str) -> str:
    """A fresh value for a kind's `value:` line."""
    name, _, rest = spec.partition(" ")
    if name == "choice":
        return rng.choice([c.strip() for c in rest.split("|") if c.strip()])
    span = re.match(r"(-?\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*(.*)", rest)
    low, high, noun = (float(span[1]), float(span[2]), span[3]) if span else (1, 90, "")
    n = number(rng, low, high)
    if name in {"days", "weeks", "months", "years", "hours", "minutes", "seconds"}:
        unit = name if n != 1 else name[:-1]
        return f"{WORDS[n] if n <= 12 and rng.random() < 0.35 else n} {unit}"
    if name == "money":
        cents = rng.choice(("", "", "", f".{rng.randint(0, 99):02d}", ".50", ".90"))
        text = f"{n:,}" if rng.random() < 0.7 else str(n)
        mark = rng.choice(("EUR {}", "€{}", "{} euros", "${}", "£{}", "CHF {}", "{} EUR", "{} €"))
        return mark.format(text + ("" if "euros" in mark else cents))
    if name == "percent":
        return f"{n}{rng.choice(('%', ' %', ' per cent', ' percent'))}"
    if name == "count":
        return f"{WORDS[n] if n <= 12 and rng.random() < 0.3 else n} {noun}".strip()
    if name in UNITS:
        tenth = f".{rng.randint(1, 9)}" if n < 60 and rng.random() < 0.35 else ""
        return f"{n}{tenth} {UNITS[name]}"
    return _named_value(rng, name)


def _named_value(rng: random.Random, name: str) -> str:
    hour, minute = rng.randint(6, 22), rng.choice((0, 0, 15, 30, 45))
    clock = rng.choice((f"{hour}:{minute:02d}", f"{hour}.{minute:02d}",
                        f"{(hour - 1) % 12 + 1}{f':{minute:02d}' if minute else ''} "
                        f"{'a.m.' if hour < 12 else 'p.m.'}"))
    date = f"{rng.randint(1, 28)} {rng.choice(MONTHS)}"
    brand = word(rng).lower()
    made = {
        "clock": lambda: clock,
        "hours_span": lambda: f"{rng.randint(7, 10)}:{rng.choice(('00', '30'))} to "
                              f"{rng.randint(16, 21)}:{rng.choice(('00', '30'))}",
        "weekday": lambda: rng.choice(DAYS),
        "date": lambda: date + rng.choice(("", f" {rng.randint(2024, 2031)}")),
        "year": lambda: str(rng.randint(1890, 2029)),
        "season": lambda: rng.choice(SEASONS),
        "code": lambda: "".join(rng.choice("ABCDEFGHKLMNPRSTVWX") for _ in range(rng.randint(1, 3)))
                        + rng.choice(("-", "", " ")) + str(rng.randint(10, 99999)),
        "error_code": lambda: rng.choice("EFPHC") + rng.choice(("", "-")) + str(rng.randint(1, 99)),
        "phone": lambda: f"0{rng.randint(20, 999)} {rng.randint(100, 999)} "
                         f"{rng.randint(100, 9999)}",
        "email": lambda: f"{rng.choice(('help', 'office', 'desk', 'team', 'hello', brand))}"
                         f"@{word(rng).lower()}.example",
        "url": lambda: f"{word(rng).lower()}.example/{brand}",
        "person": lambda: person(rng),
        "street": lambda: f"{rng.randint(1, 190)} {word(rng)} "
                          f"{rng.choice(('Street', 'Lane', 'Road', 'Square', 'Way'))}",
        "city": lambda: word(rng, rng.choice((2, 3))),
        "country": lambda: rng.choice(COUNTRIES),
        "colour": lambda: rng.choice(COLOURS),
        "material": lambda: rng.choice(MATERIALS),
    }
    if name not in made:
        raise ValueError(f"facts: no value generator is called '{name}'")
    return made[name]()


def say(template: str, what: str, val: str) -> str:
    """A `say` or `ask` line with its thing and value filled in."""
    capital = what[:1].upper() + what[1:]
    text = template.replace("{Thing}", capital).replace("{thing}", what).replace("{value}", val)
    return text[:1].upper() + text[1:] if template.startswith(("{thing}", "{value}")) else text


def main() -> None:
    kinds = read_kinds()
    short = [k.name for k in kinds if len(k.says) < 8 or len(k.asks) < 8]
    names = [k.name for k in kinds]
    print(f"{len(kinds)} kinds, {sum(k.value.startswith('choice') for k in kinds)} with phrases; "
          f"fewer than 8 forms: {short}; twice: {sorted({n for n in names if names.count(n) > 1})}")
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    for kind in kinds:
        for template in kind.says:
            if "{value}" not in template:
                print(f"{kind.name}: no value in: {template}")
        value(rng, kind.value)
    for kind in rng.sample(kinds, min(10, len(kinds))):
        what, val = thing(rng, kind.about), value(rng, kind.value)
        print("?", say(rng.choice(kind.asks), what, ""))
        print(" =", say(rng.choice(kind.says), what, val))


if __name__ == "__main__":
    main()
