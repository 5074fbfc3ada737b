"""Rule-tagged caption sentences: a small supplement to the treebank that trains the parser.

The treebank is web text (mail, reviews, weblogs, answers); captions are bare noun phrases about
visible things, mostly in lower case and without a full stop. The sentences here are drawn from a
phrase-structure grammar over a vocabulary of everyday things that is far wider than the bundled
scenes', and every word comes with the tag and the lemma that the treebank's guidelines give it.
"""

from collections.abc import Iterator
from random import Random

from pipeline.demo.conllu import Sentence


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_NOUNS = _listed("""
airplane apartment apple arm baby backpack bag ball balloon banana bank barn baseball basket
basketball bat beach bear beard bed bee bell bench bicycle bike bird blanket block board boat book
boot bottle bowl box boy branch bread brick bridge broom brush bucket building bull bus bush
butterfly cake camera camel candle canoe cap car card carpet cart cat chair chicken child church
circle city clock cloud coat coin computer cone couch court cow crab cross crowd cube cup curtain
cylinder dancer deer desk diamond dirt dock dog doll door dragon dress driver drum duck eagle egg
elephant eye face farmer fence field fire fireplace fish fisherman flag floor flower foot football
forest fork fountain fox frisbee frog fruit garden gate giraffe girl glass glove goat goggles grass
guitar hair hammer hand hat hedgehog helmet hen hill hoodie hoop horse hose house instrument jacket
jar jersey judge kayak key kitchen kite kitten knife ladder lake lamp laptop leaf leash leg lemon
lion log machine man map market mask microphone mirror monkey moon motorcycle mountain mouse mouth
mug musician nose ocean orange owl painting panda pants paper park parrot path pencil penguin person
phone piano pillow pizza plane plant plate platform player pole pond pony pool porch pot puddle
pumpkin puppy pyramid rabbit racket radio raft railing ramp rider ring river road robot rock rocket
roof room rope rose rug runner sand sandwich scarf school scooter screen sea shark sheep sheet shelf
ship shirt shoe shop shore shoulder sidewalk sign singer skateboard skateboarder ski skier skirt sky
slide snow snowboard soccer sofa soldier spoon square squirrel stadium stage stair stand star statue
stick stone store street suit sun sunflower surfboard surfer sweater swimmer swing table tank
teacher teapot teddy telescope tennis tent tie tiger toddler toothbrush towel tower town toy
track tractor train trampoline tree triangle truck trumpet trunk umbrella uniform van vase vest
village violin wall watch water waterfall waterslide wave wheel wheelchair window wing woman wood
worker yard zebra
""")
_ADJECTIVES = _listed("""
big black blonde blue bright brown checkered clean cloudy cold colorful dark dirty dry empty fancy
fast flat furry gold golden gray green grey happy heavy high hot huge large light little long low
metallic modern muddy narrow new old orange outdoor pink plaid plain pretty public purple red rocky
round rusty sandy shaggy sharp shiny short silver small smooth snowy soft speckled spotted square
steep striped strong sunny tall teal thick thin tiny white wet wide wild wooden yellow young
""")
_VERBS = _listed("""
barking:bark biting:bite carrying:carry catching:catch chasing:chase cleaning:clean climbing:climb
crossing:cross cutting:cut cycling:cycle dancing:dance digging:dig diving:dive drinking:drink
driving:drive eating:eat enjoying:enjoy entering:enter facing:face feeding:feed fishing:fish
flying:fly giving:give hanging:hang hiking:hike hitting:hit holding:hold hugging:hug jogging:jog
jumping:jump kicking:kick kissing:kiss kneeling:kneel laughing:laugh leading:lead leaning:lean
leaping:leap licking:lick lifting:lift looking:look lying:lie making:make paddling:paddle
painting:paint petting:pet playing:play pointing:point posing:pose pulling:pull pushing:push
racing:race reading:read relaxing:relax resting:rest riding:ride rowing:row running:run
selling:sell shooting:shoot showing:show singing:sing sitting:sit skateboarding:skateboard
skating:skate skiing:ski sleeping:sleep sliding:slide smiling:smile sniffing:sniff
splashing:splash standing:stand staring:stare surfing:surf swimming:swim swinging:swing
taking:take talking:talk throwing:throw touching:touch using:use walking:walk watching:watch
waving:wave wearing:wear working:work wrestling:wrestle writing:write
""")
_STATES = _listed("""
covered:cover decorated:decorate dressed:dress filled:fill lined:line painted:paint parked:park
seated:seat surrounded:surround
""")
_PLURALS = {
    "child": "children", "deer": "deer", "fish": "fish", "foot": "feet", "goggles": "goggles",
    "leaf": "leaves", "man": "men", "mouse": "mice", "pants": "pants", "person": "people",
    "sheep": "sheep", "shelf": "shelves", "woman": "women", "knife": "knives", "wood": "woods",
}  # fmt: skip
_OWNERS = {"his": "his", "her": "her", "their": "their", "its": "its"}
_PLACES = _listed(
    "above across against along around at behind below beside between by down from in in into "
    "near off on on onto over past through toward towards under up with with"
)
_PARTITIVES = ("group", "picture", "photo", "pair", "bunch", "couple", "painting", "image")
_SIDES = ("left", "right", "side", "top", "bottom", "front")
_NUMBERS = ("two", "three", "four", "five", "2", "3")

Word = tuple[str, str, str]


def caption_sentences(count: int, seed: int) -> Iterator[Sentence]:
    """`count` tagged captions; the same seed gives the same sentences."""
    rng = Random(f"captions-{seed}")
    for _ in range(count):
        words = _clause(rng)
        if rng.random() < 0.4:
            first, tag, lemma = words[0]
            words[0] = (first.capitalize(), tag, lemma)
        if rng.random() < 0.35:
            words.append((".", "PUNCT", "."))
        forms, tags, lemmas = (list(column) for column in zip(*words, strict=True))
        spaces = [following not in {",", "."} for following in [*forms[1:], "."]]
        yield Sentence(forms, spaces, tags, lemmas)


def _clause(rng: Random) -> list[Word]:
    kind = rng.random()
    if kind < 0.4:
        words = _listing(rng)
    elif kind < 0.5:
        words = [("a", "DET", "a"), _noun_word(rng.choice(_PARTITIVES)), ("of", "ADP", "of")]
        words += _noun_phrase(rng)
    elif kind < 0.58:
        words = [("there", "PRON", "there"), ("is", "AUX", "be"), *_noun_phrase(rng)]
    else:
        words = _noun_phrase(rng)
    words += _predicate(rng, _is_plural(words))
    if rng.random() < 0.45:
        words += [_place_word(rng), *_noun_phrase(rng)]
    if rng.random() < 0.4:
        words += _setting(rng)
    return words


def _is_plural(words: list[Word]) -> bool:
    form, _, lemma = words[-1]
    return form != lemma or form == _PLURALS.get(lemma) or any(w[1] == "CCONJ" for w in words)


def _predicate(rng: Random, plural: bool) -> list[Word]:
    """What the subject does: nothing, `riding a bike`, `is riding`, `rides`, `seated in a car`."""
    kind = rng.random()
    if kind < 0.35:
        return []
    if kind < 0.43:
        form, lemma = rng.choice(_STATES).split(":")
        return [(form, "VERB", lemma), _place_word(rng), *_noun_phrase(rng)]
    form, lemma = rng.choice(_VERBS).split(":")
    rest = []
    if rng.random() < 0.5:
        rest = [] if rng.random() < 0.5 else [_place_word(rng)]
        rest += _noun_phrase(rng)
    if kind < 0.63:
        return [(form, "VERB", lemma), *rest]
    if kind < 0.75:
        return [("are" if plural else "is", "AUX", "be"), (form, "VERB", lemma), *rest]
    return [(lemma if plural else _plural(lemma), "VERB", lemma), *rest]


def _listing(rng: Random) -> list[Word]:
    """`a red ball, a blue cube and a ring`: one to four phrases."""
    phrases = [_noun_phrase(rng) for _ in range(rng.randint(1, 4))]
    words = phrases[0]
    for phrase in phrases[1:-1]:
        words = [*words, (",", "PUNCT", ","), *phrase]
    return [*words, ("and", "CCONJ", "and"), *phrases[-1]] if len(phrases) > 1 else words


def _noun_phrase(rng: Random) -> list[Word]:
    noun, kind = rng.choice(_NOUNS), rng.random()
    many = kind > 0.82
    adjectives = rng.sample(_ADJECTIVES, rng.choice((0, 0, 1, 1, 1, 2)))
    words: list[Word] = [(word, "ADJ", word) for word in adjectives]
    if len(words) == 2 and rng.random() < 0.3:
        words.insert(1, ("and", "CCONJ", "and"))
    if rng.random() < 0.1:
        words.append(_noun_word(rng.choice(_NOUNS)))
    words.append((_plural(noun), "NOUN", noun) if many else _noun_word(noun))
    if many:
        number = rng.choice(_NUMBERS)
        return [(number, "NUM", number), *words] if rng.random() < 0.6 else words
    if kind < 0.55:
        article = "an" if words[0][0][0] in "aeiou" else "a"
        return [(article, "DET", "a"), *words]
    if kind < 0.7:
        return [("the", "DET", "the"), *words]
    if kind < 0.77:
        owner = rng.choice(tuple(_OWNERS))
        return [(owner, "PRON", _OWNERS[owner]), *words]
    return words


def _setting(rng: Random) -> list[Word]:
    kind = rng.random()
    if kind < 0.2:
        noun = rng.choice(("front", "top"))
        lead = [("in" if noun == "front" else "on", "ADP", "in" if noun == "front" else "on")]
        return [*lead, _noun_word(noun), ("of", "ADP", "of"), *_noun_phrase(rng)]
    if kind < 0.65:
        adjectives = rng.sample(_ADJECTIVES, rng.choice((0, 1, 1, 2)))
        article = "an" if adjectives and adjectives[0][0] in "aeiou" else "a"
        lead = [("on", "ADP", "on"), (article, "DET", "a")]
        return [*lead, *((a, "ADJ", a) for a in adjectives), _noun_word("background")]
    if kind < 0.8:
        return [("in", "ADP", "in"), ("the", "DET", "the"), _noun_word("background")]
    return [("on", "ADP", "on"), ("the", "DET", "the"), _noun_word(rng.choice(_SIDES))]


def _place_word(rng: Random) -> Word:
    word = rng.choice(_PLACES)
    return word, "ADP", word


def _noun_word(noun: str) -> Word:
    return noun, "NOUN", noun


def _plural(noun: str) -> str:
    if noun in _PLURALS:
        return _PLURALS[noun]
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"
