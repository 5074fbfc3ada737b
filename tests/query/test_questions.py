import json

import pyarrow.parquet as pq
import pytest

from pipeline import tables
from pipeline.errors import UserError
from pipeline.query.questions import connect, execute, named_queries, resolve

ROWS = {"image_id": ["a", "b"], "caption": ["a cup", None], "error": [None, "broken"]}


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "part-00000-0123abcd.parquet"
    pq.write_table(tables.build("captions", ROWS), path)
    return path


@pytest.fixture(scope="module")
def connection(part):
    return connect({"captions": ("captions", [part])})


def refusal(connection, sql, unsafe=False):
    with pytest.raises(UserError) as caught:
        execute(connection, sql, unsafe=unsafe)
    return str(caught.value)


def test_resolve_gives_a_named_query_or_the_text():
    assert resolve(" coverage ") == named_queries()["coverage"].sql
    assert resolve("select 1") == "select 1"


def test_resolve_takes_a_view_or_a_node_for_all_its_rows():
    assert resolve("runs") == 'from "runs"' and resolve("failures") == 'from "failures"'
    assert resolve("captions") == 'from "captions"' and resolve("coverage") != 'from "coverage"'
    with pytest.raises(UserError, match="no query or view 'dino'"):
        resolve("dino")
    assert resolve("dino", ["dino"]) == 'from "dino"'


def test_resolve_names_the_nearest_query():
    with pytest.raises(UserError, match="no query or view 'by_generater'") as caught:
        resolve("by_generater")
    assert "did you mean 'by_generator'?" in caught.value.hint


def test_resolve_lists_all_when_nothing_is_near():
    with pytest.raises(UserError) as caught:
        resolve("zzz")
    assert "by_generator, by_image_size, by_num_objects" in caught.value.hint


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("select caption from captions where error is null", [{"caption": "a cup"}]),
        ("from captions select count(*) as n;", [{"n": 2}]),
        ("with x as (values (1)) select * from x -- a comment", [{"col0": 1}]),
        ("select sum(length(caption)) as n from captions", [{"n": 5}]),
        ("select caption from captions where false", []),
    ],
)
def test_selects(connection, sql, rows):
    assert execute(connection, sql).to_pylist() == rows


GIVEN = """-- param text text cup: in the caption
-- param images integer null: at most so many
select image_id from captions where contains(caption, $text) limit $images"""


def test_parameters_are_bound_and_have_defaults(connection):
    assert execute(connection, GIVEN).to_pylist() == [{"image_id": "a"}]
    assert execute(connection, GIVEN, ["images=0"]).num_rows == 0
    assert execute(connection, GIVEN, ["text=' or true --"]).num_rows == 0


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select $id", "the parameter 'id' is not declared"),
        ("select ?", "the parameter '1' is not declared"),
        ("-- param id text null: the image\nselect 1", "declared, and the query does not use it"),
    ],
)
def test_declared_and_used_parameters_are_the_same(connection, sql, message):
    assert message in refusal(connection, sql)


def test_an_error_keeps_its_place_beside_parameters(connection):
    text = refusal(connection, f"{GIVEN}, capton")
    assert "LINE 3" in text


def test_a_value_of_a_parameter_cannot_open_a_file(connection, tmp_path):
    file = tmp_path / "secret.csv"
    file.write_text("key\n")
    sql = "-- param file text null: a file\nselect * from read_text($file)"
    with pytest.raises(UserError, match="disabled by configuration"):
        execute(connection, sql, [f"file={file}"])


def test_sums_are_plain_integers_where_they_fit(connection):
    data = execute(connection, "select sum(1) as small, sum(2::hugeint ** 90) as big, 1.25 as d")
    assert [str(field.type) for field in data.schema] == ["int64", "double", "decimal128(3, 2)"]
    large = execute(connection, "select (170141183460469231731687303715884105727)::hugeint as n")
    assert int(large.to_pylist()[0]["n"]) == 2**127 - 1


@pytest.mark.parametrize(
    "sql", ["describe captions", "show tables", "summarize captions", "explain select 1"]
)
def test_looking_around(connection, sql):
    assert execute(connection, sql).num_rows >= 1


def test_explain_analyze_runs_what_it_explains(connection):
    plan = execute(connection, "explain analyze select count(*) from captions")
    assert any("Total Time" in line for line in plan["explain_value"].to_pylist())


def test_an_explanation_is_a_row_a_line_unless_a_program_reads_it(connection):
    drawn = execute(connection, "explain select count(*) from captions")
    assert drawn.num_rows > 2 and not any("\n" in v for v in drawn["explain_value"].to_pylist())
    (plan,) = execute(connection, "explain (format json) select 1")["explain_value"].to_pylist()
    assert json.loads(plan)


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("copy (select 1) to 'out.csv'", "COPY"),
        ("copy captions from 'in.csv'", "COPY"),
        ("attach 'other.db'", "ATTACH"),
        ("attach ':memory:' as other", "ATTACH"),
        ("install httpfs", "LOAD"),
        ("load httpfs", "LOAD"),
        ("set threads = 1", "SET"),
        ("reset threads", "SET"),
        ("pragma version", "PRAGMA"),
        ("pragma enable_profiling", "PRAGMA"),
        ("call enable_logging('QueryLog')", "CALL"),
        ("checkpoint", "CALL"),
        ("create table t (i integer)", "CREATE"),
        ("create temp table t as select 1", "CREATE"),
        ("create or replace view captions as select 1", "CREATE"),
        ("create macro f(x) as x", "CREATE"),
        ("drop view captions", "DROP"),
        ("alter view captions rename to c", "ALTER"),
        ("insert into captions values (1)", "INSERT"),
        ("update captions set caption = ''", "UPDATE"),
        ("delete from captions", "DELETE"),
        ("begin transaction", "TRANSACTION"),
        ("prepare p as select 1", "PREPARE"),
        ("export database 'folder'", "EXPORT"),
        ("use memory", "SET"),
        ("explain analyze copy (select 1) to 'out.csv'", "COPY"),
        ("explain (format json) create table t (i integer)", "CREATE"),
        ("explain analyze /* x */ create table t (i integer)", "CREATE"),
    ],
)
def test_statements_that_do_not_read_are_refused(connection, sql, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = refusal(connection, sql)
    assert f"a statement of the kind {kind}" in text
    assert "next:  write one `select`" in text
    assert "--unsafe" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "sql",
    [
        "explain /* x */ analyze {copy}",
        "/* x */ explain analyze {copy}",
        "-- x\nexplain analyze {copy}",
        "/* /* */ explain select 1 -- */ */ explain analyze {copy}",
        "explain (analyze, format /* ) select 1 -- */ json) {copy}",
        "explain analyze (format /* ) select 1 -- */ json) {copy}",
    ],
)
def test_a_comment_does_not_hide_what_explain_runs(connection, part, sql):
    before = part.read_bytes()
    refusal(connection, sql.format(copy=f"copy (select 1) to '{part}' (format parquet)"))
    assert part.read_bytes() == before


@pytest.mark.parametrize("sql", ["", " ;", "-- only a comment"])
def test_no_statement(connection, sql):
    assert "this is no statement" in refusal(connection, sql)


def test_several_statements(connection):
    assert "this is 2 statements" in refusal(connection, "select 1; select 2")


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_csv('{file}')",
        "select * from read_text('{file}')",
        "select * from read_blob('{file}')",
        "select * from read_json('{file}')",
        "select * from '{file}'",
        "select * from read_parquet('{folder}/*.parquet')",
        "select * from glob('{folder}/*')",
        "select * from sniff_csv('{file}')",
        "select * from parquet_metadata('{folder}/other.parquet')",
        "select * from query('from read_csv(''{file}'')')",
        "select * from read_csv('https://example.org/x.csv')",
        "select * from read_text('/etc/passwd')",
    ],
)
def test_no_file_outside_the_parts_can_be_read(connection, sql, tmp_path):
    file = tmp_path / "secret.csv"
    file.write_text("key\nvalue\n")
    text = refusal(connection, sql.format(file=file, folder=tmp_path))
    assert "file system operations are disabled by configuration" in text
    assert "next:  a query can read the store's parts" in text


def test_neighbours_of_a_part_cannot_be_read(connection, part):
    (part.parent / "_recipe.json").write_text("{}")
    assert "Cannot access" in refusal(connection, f"from read_text('{part.parent}/_recipe.json')")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select getenv('HOME')", "Scalar Function with name getenv does not exist"),
        ("from enable_logging(storage_path = 'log')", "configuration has been locked"),
        ("from enable_profiling(save_location = 'profile')", "configuration has been locked"),
        ("from duckdb_secrets()", "Cannot access"),
        ("with x as (insert into captions values (1) returning *) from x", "not an table"),
        ("from query('create table t (i integer)')", "single SELECT"),
        ("select * from local", "Table with name local does not exist"),
    ],
)
def test_ways_around_are_closed(connection, sql, message):
    local = tables.build("captions", ROWS)
    assert local.num_rows == 2
    assert message in refusal(connection, sql)


def test_duckdb_names_the_column_and_the_place(connection):
    text = refusal(connection, "select capton from captions")
    assert 'Referenced column "capton" not found' in text
    assert '"caption"' in text
    assert "LINE 1: select capton from captions\n               ^" in text


def test_a_syntax_error_shows_its_place(connection):
    text = refusal(connection, "select caption captions\nfrom where")
    assert 'syntax error at or near "where"' in text
    assert "LINE 2" in text


@pytest.mark.parametrize(
    "sql",
    [
        "select length(caption, 2) from captions",
        "select caption from captions group by image_id",
        "select caption from captions where count(*) > 1",
        "select caption from captions order by 5",
        "select lenght(caption) from captions",
        "select caption from capton",
        "select date '2026-13-01' from captions",
        "select caption from captions where error = 1 and",
    ],
)
def test_every_kind_of_mistake_shows_its_place(connection, sql):
    assert "LINE 1: select" in refusal(connection, sql)
    declared = sql.replace("select", "-- param key text null: a key\nselect $key,", 1)
    declared = declared.replace("order by 5", "order by 6")
    assert "LINE 2: select $key" in refusal(connection, declared)


def test_text_between_double_quotes_is_explained(connection):
    text = refusal(connection, 'select caption from captions where caption = "a cup"')
    assert "text goes between single quotes: 'a cup'" in text
    assert "single quotes" not in refusal(connection, "select capton from captions")


def test_unsafe_sql_may_write_attach_and_read_other_files(part, tmp_path):
    connection = connect({"captions": ("captions", [part])}, unsafe=True)
    out, other = tmp_path / "out.csv", tmp_path / "other.duckdb"
    copied = execute(connection, f"copy (from captions) to '{out}'", unsafe=True)
    assert copied.to_pylist() == [{"Count": 2}]
    sql = f"select caption from '{out}' where error is null"
    assert execute(connection, sql).to_pylist() == [{"caption": "a cup"}]
    sql = (
        f"attach '{other}' as other; create table other.kept as from captions; "
        "select count(*) as n from other.kept"
    )
    assert execute(connection, sql, unsafe=True).to_pylist() == [{"n": 2}]
    assert other.exists()


def test_parameters_reach_every_statement_of_unsafe_sql(part, tmp_path):
    connection = connect({"captions": ("captions", [part])}, unsafe=True)
    sql = (
        "-- param id text a: an image\n-- param least integer 1: tokens\n"
        "create table mine as from captions where image_id = $id; select 1; "
        "select count(*) as n from mine where image_id = $id and $least > 0"
    )
    assert execute(connection, sql, ["id=none"], unsafe=True).to_pylist() == [{"n": 0}]
    execute(connection, "drop table mine", unsafe=True)
    assert execute(connection, sql, ["least=2"], unsafe=True).to_pylist() == [{"n": 1}]
    unused = "-- param id text a: an image\nselect 1; select 2"
    assert "does not use it" in refusal(connection, unused, unsafe=True)
    assert "'x' is not declared" in refusal(connection, "select $x; select 2", unsafe=True)


def test_unsafe_sql_has_mistakes_too(part):
    connection = connect({"captions": ("captions", [part])}, unsafe=True)
    assert "LINE 1" in refusal(connection, "select 1; from capton", unsafe=True)
    assert "Cannot open file" in refusal(connection, "attach '/none/x.duckdb'", unsafe=True)
    assert "no statement" in refusal(connection, ";", unsafe=True)
    text = refusal(connection, "delete from captions", unsafe=True)  # a view has no rows to lose
    assert "Can only delete from base table" in text


def test_an_unknown_table_gets_the_nearest_view(connection):
    assert "did you mean 'captions'?" in refusal(connection, "select * from caption")


def test_an_error_in_a_row_is_the_users_too(connection):
    assert "Could not convert string 'a cup'" in refusal(
        connection, "select caption::integer from captions"
    )


def test_a_part_that_went_away_is_explained(tmp_path):
    path = tmp_path / "part.parquet"
    pq.write_table(tables.build("captions", ROWS), path)
    connection = connect({"captions": ("captions", [path])})
    path.unlink()
    assert "part.parquet" in refusal(connection, "select caption from captions")
