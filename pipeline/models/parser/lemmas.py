"""Lemmas of nouns: spelling rules, and tables of what the rules do not cover.

A lemma is the singular in lower case, as the treebanks of Universal Dependencies give it: `people`
and what comes in pairs (`jeans`, `scissors`, `glasses` on a nose) are lemmas themselves. The rules
are ours and not a library's, for captions' words are what the libraries tried get wrong: `inflect`
cuts `bus`, `lens` and `canvas`, `lemminflect` makes `leave` of leaves and `pant` of pants.
"""

from functools import lru_cache


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


# plurals that are lemmas themselves
_ONLY_PLURAL = _listed(
    "binoculars bloomers boardshorts breeches briefs capris clothes corduroys coveralls culottes "
    "cutoffs dungarees earphones eyeglasses glasses goggles goods handcuffs headphones "
    "jeans jodhpurs khakis knickers leggings outskirts overalls pajamas panties pants people "
    "pliers police pyjamas rapids remains scissors shears shorts slacks spectacles sunglasses "
    "surroundings suspenders sweatpants tights tongs trousers tweezers underpants undershorts "
    "undies woods cattle"
)
# singulars in s that are not plain from their ending, and names
_SINGULAR = _listed(
    "abs acrobatics adidas aerobics aids alias always amaryllis antics aquatics asbestos "
    "athletics atlas axis barracks bias billiards bourgeois canvas chaos chassis christmas "
    "clematis cosmos crossroads dallas debris dennis dice economics electronics ethos gallows gas "
    "genetics gps gymnastics haggis headquarters hers ibis iris kansas lens linguistics logistics "
    "louis mantis marquis mars mathematics means mechanics mens news olympics pampas pancreas "
    "paris pathos patois pelvis physics pilates politics polis portcullis rhinoceros robotics "
    "series species statistics tennis texas thanks theirs thermos trellis vegas wales was womens "
    "yes yours"
)
_KEPT_ENDINGS = ("ss", "us", "sis", "polis", "itis")
_PLURALS_IN_US = _listed(
    "beaus bayous bureaus caribous chateaus emus flus gnus gurus haikus kudus menus plateaus "
    "shihtzus snafus tableaus tofus tutus yous zebus"
)
_IE = _listed(
    "auntie aussie barbie beanie birdie bogie boogie bookie bowtie brie brownie budgie calorie "
    "camaraderie collie cookie cootie coterie cutie doggie eerie eyrie floatie foodie freebie "
    "genie goalie goldie goonie groupie hankie hippie hoagie hoodie hottie indie junkie kiltie "
    "lingerie magpie menagerie movie necktie newbie nightie oldie onesie patisserie pinkie pixie "
    "potpie prairie quickie rookie roadie rotisserie selfie smoothie sortie sweetie talkie techie "
    "townie twinkie untie veggie walkie wedgie wheelie yorkie yuppie zombie"
)
_OE = _listed(
    "backhoe canoe doe floe foe hoe horseshoe mistletoe oboe roe shoe sloe tiptoe toe woe"
)
_SILENT_E = _listed(
    "ache apache avalanche axe brioche cache cliche creche crevasse headache microfiche mousse "
    "moustache mustache niche pickaxe porsche posse quiche toothache earache"
)
_USE = _listed("abuse accuse amuse excuse fuse muse refuse ruse use")
_PLAIN_ES = _listed(
    "alias atlas bias canvas christmas gas iris lens mantis marquis pancreas pelvis pythos "
    "rhinoceros thermos trellis"
)
_IRREGULAR = {
    "alumni": "alumnus", "analyses": "analysis", "antennae": "antenna", "cacti": "cactus",
    "crises": "crisis", "criteria": "criterion", "dormice": "dormouse", "dwarves": "dwarf",
    "elves": "elf", "fungi": "fungus", "geese": "goose", "halves": "half",
    "hippopotami": "hippopotamus", "indices": "index", "larvae": "larva", "lice": "louse",
    "lives": "life", "mice": "mouse", "nuclei": "nucleus", "oases": "oasis", "octopi": "octopus",
    "oxen": "ox", "passersby": "passerby", "phenomena": "phenomenon", "quizzes": "quiz",
    "sheaves": "sheaf", "staves": "staff", "stimuli": "stimulus", "thieves": "thief",
    "turves": "turf", "vertebrae": "vertebra", "wharves": "wharf",
}  # fmt: skip
# last parts of compounds (`policemen`, `headscarves`, `minibuses`) and their singulars
_LAST_PARTS = {
    "women": "woman", "men": "man", "children": "child", "feet": "foot", "teeth": "tooth",
    "knives": "knife", "wives": "wife", "leaves": "leaf", "shelves": "shelf", "calves": "calf",
    "loaves": "loaf", "scarves": "scarf", "selves": "self", "wolves": "wolf", "hooves": "hoof",
    "shoes": "shoe", "buses": "bus",
}  # fmt: skip
_NO_COMPOUNDS = _listed("abdomen acumen amen omen ramen regimen semen specimen stamen yemen")
_JOINED_BY = {"in", "of", "by", "on"}  # `mothers-in-law`, `passers-by`: the first part counts
_DRUNK = _listed("beer champagne cocktail drinking martini milk shot water whiskey wine")
_SWUM = _listed("bathing swim swimming")


def lemma(noun: str, before: str = "", after: str = "") -> str:
    """The singular of a noun in lower case, hyphens allowed; what is no plural stays as it is.

    The words beside it decide a few: `wine glasses` and `glasses of wine` are glasses to drink
    from, `swimming trunks` are worn.
    """
    if noun == "glasses" and (before in _DRUNK or after == "of"):
        return "glass"
    if before in _SWUM and noun == "trunks":
        return noun
    return _lemma(noun)


def is_plural(noun: str) -> bool:
    """Whether the word, in lower case, can only be a plural (`dogs`, `men`, `people`, `jeans`)."""
    return noun in _ONLY_PLURAL or _lemma(noun) != noun


@lru_cache(maxsize=8192)
def _lemma(noun: str) -> str:
    first, hyphen, last = noun.rpartition("-")
    if hyphen:
        parts = noun.split("-")
        if len(parts) > 1 and parts[1] in _JOINED_BY and parts[0]:
            return "-".join([_lemma(parts[0]), *parts[1:]])
        return first + hyphen + _lemma(last)
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if noun in _ONLY_PLURAL or noun in _SINGULAR or noun in _NO_COMPOUNDS:
        return noun
    for plural, singular in _LAST_PARTS.items():
        if noun.endswith(plural):
            return noun[: -len(plural)] + singular
    return _without_s(noun) if len(noun) > 2 and noun.endswith("s") else noun


def _without_s(noun: str) -> str:
    """The singular of a noun in s by the spelling of its end."""
    if noun[:-1].isdigit() or (noun[-2] in "'\u2019" and not noun[-3:-2].isalpha()):
        return noun  # `1950s`
    if noun.endswith("es"):
        return _without_es(noun)
    if noun.endswith(_KEPT_ENDINGS):
        return noun[:-1] if noun in _PLURALS_IN_US else noun
    return noun[:-1]


def _without_es(noun: str) -> str:
    stem, with_e = noun[:-2], noun[:-1]
    if noun.endswith("ies"):
        return with_e if with_e in _IE or len(noun) < 5 else noun[:-3] + "y"
    if noun.endswith("oes"):
        return with_e if with_e in _OE else stem
    if with_e in _SILENT_E:
        return with_e
    if stem in _PLAIN_ES or noun.endswith(("ches", "shes", "xes", "sses", "zzes", "tzes")):
        return stem
    if noun.endswith("uses") and with_e not in _USE and not noun.endswith(("ouses", "auses")):
        return stem
    return with_e
