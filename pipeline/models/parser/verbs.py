"""The verbs of captions and their forms: which words may say what somebody does.

Many are nouns too (`a walk`): `agreement.py` decides which of the two a word is where it stands.
"""

from enum import Flag


class Form(Flag):
    """Forms of a verb; one word may be several (`put`)."""

    NONE = 0
    BASE = 1  # `walk`
    THIRD = 2  # `walks`
    PAST = 4  # `walked`, `ran`, `thrown`; regular ones too


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# seldom nouns in a caption, neither in this form nor in -s
_PLAIN = _listed("""
abandon abseil accompany achieve add adjust admire adorn advance allow amuse anticipate appear
applaud apply argue arise arrange arrive ascend ask assail assemble assess assist attend attract
avoid await bake balk bask beckon become beg begin belay bellow belong bend bicker billow bleed
blink bodyboard boil bother bounce breakdance breathe bring broadcast browse build bunt bury bustle
buy buzz calculate canter capsize capture careen caress carry carve caution cavort celebrate chase
chew chisel choose clamber clap climb cling collapse collect collide come commute compare compete
complete concentrate conduct confer confront congregate connect conquer consider contain contemplate
continue converge converse convert cooperate cope cough cower crawl create creep crouch crunch
cuddle dangle decide decorate defend deflect deliver demolish demonstrate depart depend depict
descend destroy devour dig dine direct disappear discuss dislike dismount dispense distribute do
dodge doodle doze drench dribble drool drown dwell eat emerge emit enclose encourage endure engage
enjoy enlist enter entertain erupt evade examine exclaim exert explain explore extend extinguish
extract fasten fend fiddle fidget flail flaunt flee flex fling flirt flutter follow forage freeze
frolic frolick gallop gape gargle gasp gather gaze gesticulate get giggle give glance glare gleam
glisten glower gnaw go gobble gossip grab grapple grasp graze greet grimace grind grow grunt guzzle
hang happen haul have heal hear heave hesitate hiss hoist hold hover huddle hurl hurry hurtle ignore
imitate impress improvise inflate insert inspect install instruct intend interact intersect
introduce investigate invite jab join jostle joust juggle jut keep knead kneel knit know laugh lay
lean leap learn leer let lick lie linger listen live lob loiter loom lope lose lower lunge lurk
maintain make manage maneuver mash meander meditate meet melt mend meow migrate mimic mingle mock
mourn mow munch navigate nibble nip nudge nuzzle obey obscure observe occupy offer ogle operate
organize overflow overlook oversee parasail participate pay peck peek peer perform pester please
pluck plummet plunge poke pounce pour prance pray preach preen prepare pretend promote propel
protect protrude provide prowl pull punch purr pursue push put putt quarrel ramble rappel rattle
react read reap receive recline recover recreate reflect refuel refuse rehearse rejoice relate relax
rely remain remember remove repair repeat replace represent resemble respond restore retrieve rev
reveal revolve ricochet rinse rise roam romp roost rub rummage run rush salute saunter say scamper
scavenge scoot scrape scratch scream sculpt scurry see seem sell send separate serenade serve settle
sew share sharpen shimmer shine shout shriek shrink shut sightsee sing sip sit skim skip skydive
slam slap sleep slither slouch slump slurp smell smolder smooch snarl snatch sneak sneeze sniff snip
snooze snore snuggle soak soar socialize solder somersault sow speak spectate spelunk splash
splatter sprawl squabble squat squawk squeal squeeze squint squirt squish stab stagger stare starve
stay steady steal steer stir stomp stoop straddle straggle straighten stretch strew strike stroll
struggle strum suck suffer sunbathe supervise surround suspend swallow swat swerve swim swipe swish
swoop tailgate take talk teach teeter tell tend thank think thrash threaten thresh thrive thrust
tickle tighten tiptoe topple toss totter touch trample travel traverse tread trot trudge trundle try
tug tumble tweak twinkle twirl twist unfold unload unlock unpack unveil unwrap urinate use vanish
veer vie visit waddle wade wag wail wait wakeboard walk wallow wander want wash wear weave weep
welcome weld whack whirl whisper whittle whizz wield wiggle wilt windsurf wink wipeout wobble wonder
worship wrangle wrestle wriggle wring write yank yawn yell yelp zigzag zoom
""")
# nouns as well
_AMBIGUOUS = _listed("""
act aim approach attack attempt balance bark barrel bat bathe battle beat bike bite block bloom blow
board bob bolt boost border bow bowl box brawl break brush buck burn burst bus call camouflage camp
canoe care cascade cast catapult catch change chant charge charm chat check cheer chirp chop circle
claw clean clear close clutch clutter coast comb comfort comment cook cool corner cover crack cradle
crash cross crowd cruise crumble crush cry curl curve cut cycle dance dart dash deal debate dial dip
display dive dock dot drag draw dress drift drill drink drip drive drop drum dry duel dump dunk dust
dye ease elbow embrace empty escape escort exercise exit face fall feature feed feel fetch fight
film find finish fire fish fit fix flank flap flash flicker flip float flock flood floss flow fly
focus fold form frame frown fry gesture glide glow golf grate grill grin grip groom growl guard
guide hammer handle harvest hatch heat help herd hide highlight hike hit hop howl hug hunch hunt
hurdle hurt interview iron jerk jog joke jump kayak kick kiss knock land lap lasso lather launch
lead leak leave lecture lift light limp line litter load lock look lounge love lug march mark
massage milk mind mix monitor mop motorbike mount move nap nest nod nurse open pack paddle
paddleboard paint parachute parade park pass pat patrol pause pedal peel perch pet photograph pick
picnic pilot pitch pivot plan plant play plow point polish pop pose pound practice present press
print prod produce protest prune pump punt puzzle queue race raise rake rally rap reach rear rebound
reel relay report rescue rest retreat return review ride ring rip ripple roar roast roll rollerblade
rollerskate root rope row saddle sail scale scan scoop score scowl scroll scrub search set shade
shake shampoo shave shelter shield shiver shoot shop shovel show shower shred shrug shuffle sign
signal sink skate skateboard sketch ski slalom sled slice slide slope smack smash smear smile smirk
smoke snack snap snorkel snowboard snowshoe sort spar sparkle speed spew spill spin spit split spray
spread sprint stack stalk stand start steam step stick stitch stop strain stride strut study stumble
stunt support surf surface surge swarm sway sweat sweep swig swing swirl tackle tangle tango tap
target taste taxi tear tease tee test text thread throw tie tilt tip toast toboggan tour tow tower
toy track trade trail train transport trap trek trick trim trip turn tussle tutor type unicycle
vacuum vault view vote wake waltz watch waterski wave wax weed wheel whip whisk whistle win wind
wipe work wrap wreck wrinkle zip
""")
_IRREGULAR = {
    "steal": "stole stolen",
    "beat": "beat beaten", "become": "became", "begin": "began begun", "bend": "bent",
    "bite": "bit bitten", "blow": "blew blown", "break": "broke broken", "bring": "brought",
    "build": "built", "buy": "bought", "catch": "caught", "choose": "chose chosen",
    "cling": "clung", "come": "came", "dig": "dug", "do": "did done",
    "draw": "drew drawn", "drink": "drank drunk", "drive": "drove driven", "eat": "ate eaten",
    "fall": "fell fallen", "feed": "fed", "feel": "felt", "fight": "fought", "find": "found",
    "flee": "fled", "fling": "flung", "fly": "flew flown", "freeze": "froze frozen",
    "get": "got gotten", "give": "gave given", "go": "went gone", "grow": "grew grown",
    "hang": "hung", "have": "had", "hear": "heard", "hide": "hid hidden", "hold": "held",
    "keep": "kept", "kneel": "knelt", "know": "knew known", "lay": "laid", "lead": "led",
    "leap": "leapt", "leave": "left", "lie": "lain", "light": "lit", "make": "made", "meet": "met",
    "mow": "mown", "ride": "rode ridden", "ring": "rang rung", "rise": "rose risen", "run": "ran",
    "say": "said", "see": "saw seen", "sell": "sold", "send": "sent", "sew": "sewn",
    "shake": "shook shaken", "shine": "shone", "shoot": "shot", "show": "shown",
    "sing": "sang sung", "sit": "sat", "sleep": "slept", "slide": "slid", "speak": "spoke spoken",
    "spin": "spun", "stand": "stood", "stick": "stuck", "strew": "strewn", "strike": "struck",
    "swim": "swam swum", "swing": "swung", "take": "took taken", "teach": "taught",
    "tear": "tore torn", "tell": "told", "think": "thought", "throw": "threw thrown",
    "wake": "woke woken", "wear": "wore worn", "weave": "wove woven", "wind": "wound",
    "wring": "wrung", "write": "wrote written",
}  # fmt: skip
_ALSO_PAST = _listed("beat burst cast cut hit let put set shut split spread thrust")


def _third(verb: str) -> str:
    if verb.endswith(("s", "x", "ch", "sh", "zz", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return {"have": "has"}.get(verb, verb + "s")


def _past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + "ed"


def _table() -> dict[str, Form]:
    forms: dict[str, Form] = {}
    for verb in (*_PLAIN, *_AMBIGUOUS):
        past = _IRREGULAR[verb].split() if verb in _IRREGULAR else [_past(verb)]
        past += [verb] if verb in _ALSO_PAST else []
        named = [(verb, Form.BASE), (_third(verb), Form.THIRD), *((p, Form.PAST) for p in past)]
        for word, form in named:
            forms[word] = forms.get(word, Form.NONE) | form
    return forms


FORMS = _table()
# forms that are hardly ever nouns in a caption
PLAIN = frozenset(_PLAIN) | {_third(verb) for verb in _PLAIN}
