"""Lemmas of nouns, word by word."""

import pytest

from pipeline.models.parser.lemmas import is_plural, lemma

# plural:singular
_PLURALS = """
dogs:dog cars:car toys:toy monkeys:monkey bees:bee houses:house horses:horse noses:nose vases:vase
babies:baby ladies:lady cherries:cherry puppies:puppy huskies:husky cookies:cookie movies:movie
zombies:zombie hoodies:hoodie collies:collie selfies:selfie pies:pie ties:tie bow-ties:bow-tie
neckties:necktie potatoes:potato tomatoes:tomato heroes:hero mosquitoes:mosquito volcanoes:volcano
photos:photo kangaroos:kangaroo shoes:shoe snowshoes:snowshoe toes:toe canoes:canoe scarves:scarf
headscarves:headscarf knives:knife leaves:leaf wolves:wolf shelves:shelf bookshelves:bookshelf
calves:calf loaves:loaf halves:half wives:wife housewives:housewife hooves:hoof thieves:thief
elves:elf gloves:glove waves:wave olives:olive sleeves:sleeve caves:cave roofs:roof churches:church
sandwiches:sandwich peaches:peach dishes:dish brushes:brush boxes:box foxes:fox glasses:glasses
dresses:dress mattresses:mattress buses:bus minibuses:minibus lenses:lens gases:gas axes:axe
moustaches:moustache headaches:headache octopuses:octopus cactuses:cactus viruses:virus prizes:prize
breezes:breeze waltzes:waltz quizzes:quiz men:man women:woman children:child
grandchildren:grandchild schoolchildren:schoolchild feet:foot teeth:tooth mice:mouse geese:goose
oxen:ox policemen:policeman snowmen:snowman firemen:fireman fishermen:fisherman
businesswomen:businesswoman cacti:cactus skis:ski taxis:taxi bikinis:bikini corgis:corgi kiwis:kiwi
safaris:safari menus:menu emus:emu tutus:tutu t-shirts:t-shirt merry-go-rounds:merry-go-round
passers-by:passer-by mothers-in-law:mother-in-law grown-ups:grown-up passersby:passerby atvs:atv
tvs:tv
"""
_SAME = """
dog child man woman bus glass grass dress lens canvas gas iris tennis cactus octopus hippopotamus
christmas campus moose goose cheese house horse nose shoe specimen omen human german chassis oasis
sheep fish deer aircraft salmon series species bison people police cattle
pants jeans shorts trousers scissors sunglasses goggles binoculars pajamas tights overalls leggings
headphones clothes glasses t-shirt gymnastics news 1950s graffiti
"""


@pytest.mark.parametrize("pair", _PLURALS.split())
def test_plurals(pair):
    plural, singular = pair.split(":")
    assert lemma(plural) == singular
    assert is_plural(plural)
    assert lemma(singular) == singular


@pytest.mark.parametrize("noun", _SAME.split())
def test_lemmas_stay(noun):
    assert lemma(noun) == noun


def test_only_what_is_a_plural_alone_is_one():
    assert all(is_plural(noun) for noun in ("people", "jeans", "scissors", "police", "men"))
    assert not any(
        is_plural(noun) for noun in ("sheep", "fish", "bus", "glass", "tennis", "canvas")
    )


def test_neighbours_decide_what_may_be_either():
    assert lemma("glasses") == "glasses"
    assert lemma("glasses", before="wine") == lemma("glasses", after="of") == "glass"
    assert (lemma("trunks", before="swim"), lemma("trunks", before="tree")) == ("trunks", "trunk")
