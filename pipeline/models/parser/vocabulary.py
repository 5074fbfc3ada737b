"""Lists of words that grammar or captions treat alike, and what follows from a word's form."""

from pipeline.models.parser.verbs import FORMS, Form


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


HYPHENS = frozenset("-\u2010\u2011")
COLOURS = _listed(
    "beige black blue brown gray green grey maroon navy pink purple red tan teal turquoise white "
    "yellow"
)
# colours when a tagger says adjective, else things
METALS = _listed("gold orange silver")
SINGULAR_ARTICLES = _listed("a an another each every")
# things, unlike most words in -ing, which say what is done
THINGS_IN_ING = _listed(
    "anything awning bedding bowling building bunting ceiling clothing darling decking drawstring "
    "duckling dumpling earring evening everything flooring frosting hamstring herring icing king "
    "legging lettering lighting lightning matting morning netting nothing paneling panelling "
    "pudding railing ring roofing sapling scaffolding seating sibling siding sling something "
    "spring stocking string swing thing topping viking wedding wing wiring wrapping"
)
# things, or what somebody does: `a chalk drawing`, `a girl drawing`
MADE_IN_ING = _listed(
    "carving coating covering crossing cutting drawing dressing fencing filling gathering landing "
    "lining marking meeting offering opening outing painting piercing serving setting stuffing "
    "writing"
)
THINGS_IN_ED = _listed("bed biped bobsled dogsled flowerbed moped riverbed shed sled toolshed")
# never a name, nor what describes one
ALWAYS_DONE = _listed(
    "being carrying doing getting having holding making showing taking using watching wearing"
)
# words that begin a phrase with a noun in it
OPENERS = _listed("a an her his its my no our the their")
PREPOSITIONS = _listed(
    "across at behind beside between by for from in into near of on onto through under with"
)
# in front of a colour that somebody wears
WEARING = _listed("all dressed in of wearing wears")
GARMENTS = _listed("covers dresses scrubs skates skis ties wraps")
COLLECTIVES = _listed(
    "army audience band choir class club couple crew crowd family flock group herd orchestra pair "
    "squad staff team trio"
)
PLURAL_QUANTIFIERS = _listed("both few many numerous several these those various")
COUNTS = _listed("couple dozen hundred thousand")
# plurals that describe (`sports car`)
DESCRIBING = _listed(
    "arts clothes crafts electronics glasses goods gymnastics jeans mens news pants series shorts "
    "sports sunglasses womens woods"
)
# of these, what is worn
WORN_PLURALS = _listed("glasses jeans pants shorts sunglasses")
# finite verbs that are nouns too, but not in the places where this list is asked
POSES = _listed(
    "catch catches dance dances jump jumps kick kicks look looks play plays point points pose "
    "poses race races ride rides smile smiles stand stands watch watches wave waves"
)
STANCES = _listed("look play pose smile stand")
# verbs of a title (`Ride waves`)
DEMANDS = _listed("catch kick look play ride watch")
PARTICLES = _listed("away back down off out over up")
# what moves by itself
FORCES = _listed("lightning moon rain smoke sun")
PLACES = _listed("air background distance foreground front left middle right")
# in front of somebody who does something: `helping a child walk`
CAUSING = _listed("help helping helps let lets letting make makes making watch watches watching")
SUBJECTS = _listed("everyone he it one others she someone that they we which who")
OBJECTS = _listed("her herself him himself his it its itself something their them themselves")
# adjectives that stand for a noun, or for none
NOMINAL = COLOURS | _listed(
    "big central dark different distant far few first front half high inside large last left "
    "little long many middle more most near next old open orange other outside right same second "
    "several short single small tall third upside very young"
)
ADJECTIVE_ENDINGS = ("able", "ful", "ible", "ish", "less", "ous")
# what a tagger may take for a verb, an adjective or an adverb, and is no noun in any case
FUNCTION_WORDS = _listed(
    "aboard about above across afloat again ago best longer ahead alike all almost aloft alone "
    "along alongside already also always amid amidst amongst apart are around ashore aside "
    "askance atop awake away back backward backwards barefoot be behind below beneath beside "
    "besides beyond by close deep down downhill downriver downstairs downstream else even ever "
    "everywhere far fast first forth forward forwards further goodbye half hard head headfirst "
    "here high home how in indoor indoors inland inline inside instead is just late later left "
    "lengthwise like long low maybe midair much near nearby next not now nowhere of off offshore "
    "often on onboard once online only onshore onstage onward onwards out outdoor outdoors "
    "outside over overhead overseas past perhaps please quite rather right rough round seaside "
    "sideways so somehow someplace sometimes somewhere soon still straight than then there though "
    "through throughout tight to together tomorrow tonight too topless toward towards twice under "
    "underground underneath underwater up uphill upright upside upstairs upstream upward upwards "
    "very was well were when where while wide worth yet"
)
NEVER_NOUNS = _listed(
    "afloat airborne alert alike aloft alongside amidst ashore askance asleep awake backward "
    "backwards barefoot beneath downhill downstream forward forwards goodbye headfirst indoors "
    "offstage onstage outdoors outside overhead sideways underneath underwater uphill upright "
    "upside upstream"
)
# of these, those that are no adjectives either
BESIDE = _listed(
    "afloat alike aloft alongside amidst ashore askance asleep beneath goodbye underneath"
)
# `rock climbing`, `a man scuba dives`: both words say what is done
SPORTS = _listed(
    "base belly bicycle bike body boogie break bungee cliff country cross dirt figure fly hang "
    "horse horseback hula ice jet kite mountain rock roller sand scuba skate sky snow wake water "
    "weight wind"
)
DONE = _listed(
    "bik blad board climb danc div fish glid hoop jump lift mobil raft rid sail skat ski surf tub"
)
ANIMATE = _listed(
    "adult alligator angel animal antelope ape artist athlete audience aunt baby baker ballerina "
    "barber barista beagle bear beaver bee bicyclist bird bison boy bride brother buffalo bull "
    "bulldog butcher butterfly bystander calf camel captain carpenter cashier cat cheerleader "
    "cheetah chef chicken chihuahua child chimp clerk client clown collie colt cop corgi couple "
    "cow cowboy cowgirl crocodile crow crowd cub customer cyclist dachshund dad dalmatian "
    "daughter deer doberman doctor dog dolphin donkey drummer duck eagle elephant fairy family "
    "fan father female flamingo foal fox friend frog gazelle gentleman giraffe girl goalie "
    "goalkeeper goat goose gorilla graduate grandfather grandma grandmother grandpa greyhound "
    "groom guard guest guitarist gull guy gymnast hamster hawk hen hero hippo horse host hostess "
    "hound husband husky infant insect jockey judge kangaroo kid king kitten knight koala lab "
    "labrador lady lamb leopard lifeguard lion lizard magician male man mare mastiff mechanic "
    "merchant mermaid mom monk monkey mother motorcyclist mouse mule musician neighbor nun nurse "
    "onlooker ostrich otter owl owner ox panda parent parrot passenger patient peacock pedestrian "
    "penguin people person pet pig pigeon pilot pirate pitbull plumber politician pony poodle "
    "president priest prince princess protester pug pup puppy quarterback queen rabbit raccoon "
    "rat referee retriever rhino rooster rottweiler santa seagull seal server setter shark sheep "
    "shepherd sister snake soldier son spaniel speaker spider squirrel stallion student superhero "
    "swan teen terrier tiger toddler tourist trio turtle umpire uncle vampire waitress whale wife "
    "witch wizard wolf woman youngster youth zebra zombie"
)
# people, unlike other nouns in -er (`water`, `tower`, `helicopter`)
DOERS = _listed(
    "backpacker batter bicycler biker boarder boxer camper catcher climber dancer diver driver "
    "farmer fighter fisher goer golfer hiker hitter hunter jogger jumper kayaker keeper leader "
    "leaguer lifter lover maker officer painter partner performer photographer pitcher player "
    "racer rafter rider rollerblader rower runner sailor shooter shopper singer skateboarder "
    "skater skier snowboarder spectator surfer sweeper swimmer teacher teenager trainer traveler "
    "vendor waiter wakeboarder walker worker wrestler"
)
_PEOPLE_IN = ("man", "woman", "boy", "girl", "ist", "mate", "child", *sorted(DOERS))


def is_participle(word: str) -> bool:
    """Whether a word is formed as a participle: `running`, `covered`, `drawn`, but not `sled`."""
    if word.endswith("ing"):
        return word not in THINGS_IN_ING and word not in MADE_IN_ING and len(word) > 4
    if FORMS.get(word, Form.NONE) & Form.PAST:
        return True
    return word.endswith("ed") and not word.endswith("eed") and word not in THINGS_IN_ED


def is_animate(noun: str) -> bool:
    """Whether a noun in the singular names a person or an animal, which does things."""
    return noun in ANIMATE or noun.endswith(_PEOPLE_IN)
