import pytest

from pipeline.demo.conllu import Sentence, read_conllu
from pipeline.errors import UserError

_TEXT = """\
# text = I don't see 5.
1\tI\tI\tPRON\tPRP\t_\t4\tnsubj\t_\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdo\tdo\tAUX\tVBP\t_\t4\taux\t_\t_
3\tn't\tnot\tPART\tRB\t_\t4\tadvmod\t_\t_
4\tsee\tsee\tVERB\tVB\t_\t0\troot\t_\t_
4.1\tsee\tsee\tVERB\tVB\t_\t_\t_\t_\t_
5\t5\t5\tNUM\tCD\t_\t4\tobj\t_\tSpaceAfter=No
6\t.\t.\tPUNCT\t.\t_\t4\tpunct\t_\tSpaceAfter=No

# text = its _ day
1-2\tits\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
1\tit\tit\tPRON\tPRP\t_\t0\troot\t_\t_
2\ts\tbe\tAUX\tVBZ\t_\t1\tcop\t_\t_
3\t_\t_\tSYM\tNFP\t_\t1\tpunct\t_\t_
4\tday\t_\tX\tGW\t_\t1\tgoeswith\t_\t_
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "test.conllu"
    file.write_text(_TEXT, encoding="utf-8")  # without a blank line at its end
    return file


def test_sentences(path):
    assert list(read_conllu(path)) == [
        Sentence(
            ["I", "do", "n't", "see", "5", "."],
            [True, False, True, True, False, False],
            ["PRON", "AUX", "PART", "VERB", "NUM", "PUNCT"],
            ["I", "do", "not", "see", "5", "."],
        ),
        Sentence(
            ["it", "s", "_", "day"],
            [False, False, True, True],
            ["PRON", "AUX", "SYM", "X"],
            ["it", "be", "_", ""],
        ),
    ]


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="treebank file not found"):
        list(read_conllu(tmp_path / "train.conllu"))


@pytest.mark.parametrize(
    ("line", "message"),
    [("1\tI\tI", ":1: 3 columns"), ("1\tI\tI\t_\t_\t_\t_\t_\t_\t_", ":1: the word 'I' has no tag")],
)
def test_broken_lines_are_named(tmp_path, line, message):
    file = tmp_path / "broken.conllu"
    file.write_text(line + "\n\n")
    with pytest.raises(ValueError, match=message):
        list(read_conllu(file))
