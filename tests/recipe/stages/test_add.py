"""The stage `add`: two tuned domains joined in all three ways, killed and resumed, stopped and allowed to go on."""

from __future__ import annotations

import multiprocessing
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from tests.recipe.additions import add_in, adding, tuning
from tests.recipe.teaching import write_base, write_inputs

from teachable.errors import TeachableError
from teachable.evaluate.config import EvaluateConfig
from teachable.evaluate.matrix import Addition, Cell, Change, DomainScores, forgetting_matrix
from teachable.recipe.adding import additions_of, merging, settings_for
from teachable.recipe.stages import add, tune
from teachable.recipe.stages.add import ADDITIONS, MATRIX, refuse, regressions
from teachable.recipe.stages.evaluate import SCORES
from teachable.recipe.training_tables import RUNS
from teachable.store.digest import model_digest
from teachable.store.files import read_json, read_rows, write_json
from teachable.train.tune_config import AddConfig, SteeredConfig

DOMAINS = ("nines", "sevens")


@pytest.fixture(scope="module")
def tuned(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which two domains were tuned, two seeds each."""
    run = tmp_path_factory.mktemp("tuned") / "run"
    write_inputs(run, write_base(tmp_path_factory.mktemp("base"), tokenizer))
    tune.run(tuning(run))
    return run


@pytest.fixture
def run(tuned: Path, tmp_path: Path) -> Path:
    """A copy of it, to add in."""
    return Path(shutil.copytree(tuned, tmp_path / "run"))


def made_at(run: Path) -> dict[str, int]:
    """When each model was written."""
    return {path.name: (path / "model.safetensors").stat().st_mtime_ns for path in (run / "models").iterdir()}


def means(stats: dict[str, Any]) -> dict[tuple[str, str], float]:
    return {(cell["stage"], cell["domain"]): cell["mean"] for cell in stats["matrix"]}


def test_data(run: Path) -> None:
    before = made_at(run)
    told: list[Any] = []
    outcome = add.run(adding(run, tell=told.append, sizes=(2,)))
    folder = run / "add_data"
    stats, runs = read_json(folder / "stats.json"), read_rows(folder / "runs.parquet")
    assert [(row["arm"], row["seed"], row["path"]) for row in runs] == [
        ("add_data-2", seed, f"models/add_data-2-{seed}") for seed in (0, 1)
    ]
    for row in runs:
        assert row["n_examples"] == 32 and row["n_steps"] <= 24  # both sets, and each as many steps as alone
        assert row["digest"] == model_digest(run / row["path"])
    assert {name: at for name, at in made_at(run).items() if name in before} == before
    assert outcome.requires == (Path("models/add_data-2-0"), Path("models/add_data-2-1"))
    assert outcome.tokens_spent == outcome.tokens_out == stats["tokens"] == sum(row["n_tokens"] for row in runs)
    evaluations = read_rows(folder / "evaluations.parquet")
    assert {row["arm"] for row in evaluations} == {"add_data-2"} and list(read_rows(folder / "matrix.parquet")[0]) == (
        MATRIX.names
    )
    assert [row["step"] for row in evaluations if row["seed"] == 0][:2] == [0, 12]
    # The tables are of the same scores, and the file has all of them.
    rows = read_rows(folder / "scores.parquet")
    assert list(rows[0]) == SCORES.names
    assert {row["arm"] for row in rows} == {"base", *DOMAINS, "add_data-2"}
    scores = DomainScores(rows, EvaluateConfig(n_samples=2))
    cells = forgetting_matrix(scores, [Addition("add_data-2", DOMAINS)], DOMAINS)
    assert [cell.row() for cell in cells] == stats["matrix"] == read_rows(folder / "matrix.parquet")
    assert [(one["n_domains"], one["domain"]) for one in stats["additivity"]] == [
        (2, None),
        (2, "nines"),
        (2, "sevens"),
    ]
    assert (stats["path"], stats["digest"]) == (runs[0]["path"], runs[0]["digest"])
    assert not list(folder.glob(".*"))
    # A second time nothing is trained, and the same is written.
    tables = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert add.run(adding(run, sizes=(2,))).tokens_spent == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == tables
    assert set(made_at(run)) == {*before, "add_data-2-0", "add_data-2-1"}


def test_sequential_stops_at_a_regression_and_goes_on_when_allowed(run: Path) -> None:
    """Whatever is asked, one domain answers 9 and the other 7: who learns the second forgets the first."""
    told: list[Any] = []
    with pytest.raises(TeachableError) as caught:
        add.run(adding(run, tell=told.append, way="sequential"))
    assert caught.value.sentence() == (
        "add_sequential: after adding sevens (2 domains), nines fell from 100.0% when it was added to 0.0% (-100.0 "
        f"points, interval -100.0 to -21.9). The tables are in {run / 'add_sequential'}; run the same command with "
        "--allow-regression to go on from here."
    )
    folder = run / "add_sequential"
    stats = read_json(folder / "stats.json")
    found = means(stats)
    assert found.pop(("add_sequential-2", "sevens")) > 0.7
    assert [name for name, mean in found.items() if mean] == [("add_sequential-1", "nines")]
    assert [(one["stage"], one["domain"], one["mean"]) for one in stats["regressions"]] == [
        ("add_sequential-2", "nines", -1.0)
    ]
    additions = read_rows(folder / "additions.parquet")
    assert list(additions[0]) == ADDITIONS.names
    # With one domain there is nothing to join: its tuned models are taken, under the addition's name.
    assert [(row["arm"], row["path"], row["domains"]) for row in additions] == [
        (f"add_sequential-{n}", path, list(DOMAINS[:n]))
        for n, paths in ((1, "tune-nines"), (2, "add_sequential-2"))
        for path in (f"models/{paths}-0", f"models/{paths}-1")
    ]
    assert {row["n_examples"] for row in additions if row["n_domains"] == 2} == {16}  # the new domain alone
    # It went on from the model of the same seed: whoever says 9 is surer that it is not 7 than the base is.
    assert [row["seed"] for row in read_rows(folder / "evaluations.parquet") if row["step"] == 0] == [0, 1]
    first = [
        [row["loss"] for row in read_rows(run / stage / "curves.parquet") if row["step"] == 0]
        for stage in ("add_sequential", "tune")
    ]
    assert min(first[0]) > max(first[1])
    before, tables = made_at(run), {path.name: path.read_bytes() for path in folder.iterdir()}
    outcome = add.run(adding(run, tell=told.append, allow=True, way="sequential"))
    assert outcome.tokens_spent == 0 and made_at(run) == before
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == tables
    assert [one for one in told if isinstance(one, str)] == [stats["regressions"][0]["sentence"]]
    assert outcome.note.endswith("; fell since added: nines")


@pytest.mark.parametrize(("fields", "factor"), [({}, 1.0), ({"weight": 0.25}, 0.25)])
def test_weights(run: Path, fields: dict[str, Any], factor: float) -> None:
    add.run(adding(run, way="weights", sizes=(2,), **fields))
    runs = read_rows(run / "add_weights/runs.parquet")
    assert list(runs[0]) == RUNS.names
    assert [(row["backend"], row["n_steps"], row["n_tokens"]) for row in runs] == [("merge", 0, 0)] * 2
    base = weights_of(Path(read_json(run / "pretrain/stats.json")["path"]))
    for row in runs:
        merged = weights_of(run / row["path"])
        parents = [weights_of(run / f"models/tune-{domain}-{row['seed']}") for domain in DOMAINS]
        for name, tensor in base.items():
            expected = tensor + factor * sum(parent[name] - tensor for parent in parents)
            assert merged[name] == pytest.approx(expected, abs=1e-5)
    assert runs[0]["digest"] != runs[1]["digest"]
    assert not read_rows(run / "add_weights/curves.parquet")
    before = made_at(run)
    add.run(adding(run, way="weights", sizes=(2,), **fields))
    assert made_at(run) == before
    # Other settings are another model, in the same place.
    add.run(adding(run, way="weights", sizes=(2,), method="linear"))
    assert {name for name, at in made_at(run).items() if at != before[name]} == {"add_weights-2-0", "add_weights-2-1"}


def weights_of(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def test_killed_between_additions_it_goes_on_with_the_next(run: Path, tmp_path: Path) -> None:
    """Both additions are trained, since the learning rate is another than the domains'."""
    fields = {"way": "sequential", "learning_rate": 0.01}
    stats = read_json(run / "tune/stats.json")
    write_json(run / "tune/stats.json", {**stats, "settings": {**stats["settings"], "max_steps": 4, "eval_every": 2}})
    undisturbed = Path(shutil.copytree(run, tmp_path / "undisturbed"))
    worker = multiprocessing.get_context("spawn").Process(target=add_in, args=(run, fields))
    worker.start()
    deadline = time.monotonic() + 120
    while not (run / "tuned/add_sequential-1-1.json").is_file():
        assert worker.is_alive() and time.monotonic() < deadline
        time.sleep(0.002)
    worker.kill()
    worker.join()
    assert not (run / "tuned/add_sequential-2-1.json").is_file()
    before = made_at(run)
    outcome = add.run(adding(run, allow=True, **fields))
    after = made_at(run)
    assert {name for name, at in after.items() if before.get(name) != at} >= {"add_sequential-2-1"}
    assert all(after[f"add_sequential-1-{seed}"] == before[f"add_sequential-1-{seed}"] for seed in (0, 1))
    assert 0 < outcome.tokens_spent < outcome.tokens_out
    add.run(adding(undisturbed, allow=True, **fields))
    for name in ("additions", "curves", "evaluations", "scores", "matrix"):
        rows = [read_rows(folder / f"add_sequential/{name}.parquet") for folder in (run, undisturbed)]
        for row in (*rows[0], *rows[1]):
            row.pop("seconds", None)
        assert rows[0] == rows[1], name


def test_several_regressions_are_one_sentence(tmp_path: Path) -> None:
    cells = [
        Cell("add-3", 3, name, True, 9, 0.5, 0.4, 0.6, 0.2, None, Change(-0.25, -0.375, -0.125), lost)
        for name, lost in (("a", True), ("b", False), ("c", True), ("d", True))
    ]
    found = regressions(cells, [Addition("add-3", ("a", "b", "c", "d", "e", "f"), ("e", "f"))])
    with pytest.raises(TeachableError) as caught:
        refuse(adding(tmp_path), found)
    assert caught.value.what == (
        "after adding e and f (6 domains), a fell from 75.0% when it was added to 50.0% "
        "(-25.0 points, interval -37.5 to -12.5), and so did c and d"
    )
    refuse(adding(tmp_path, allow=True), found)
    refuse(adding(tmp_path), [])


def test_a_frozen_set_that_was_changed_is_refused(run: Path) -> None:
    path = run / "tuned/frozen/nines.json"
    path.unlink()
    with pytest.raises(TeachableError) as caught:
        add.run(adding(run, sizes=(2,)))
    assert caught.value.sentence() == (
        "add_data: the frozen set of the domain 'nines' is not the one that its models were tuned on. Tune the domain "
        "again."
    )


def test_one_domain_is_nothing_to_add_to(run: Path) -> None:
    stats = read_json(run / "tune/stats.json")
    write_json(run / "tune/stats.json", {**stats, "domains": ["nines"]})
    with pytest.raises(TeachableError, match=r"one domain was tuned \(nines\), so there is none to add"):
        add.run(adding(run))


def test_additions() -> None:
    names = ("a", "b", "c", "d")
    assert additions_of("add", AddConfig(), names[:2]) == [
        Addition("add-1", ("a",), ("a",)),
        Addition("add-2", ("a", "b"), ("b",)),
    ]
    found = additions_of("add", AddConfig(sizes=(2, 4)), names)
    assert found == [Addition("add-2", ("a", "b"), ("a", "b")), Addition("add-4", names, ("c", "d"))]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"sizes": (2, 2)}, r"add: sizes \[2, 2\] are not numbers of domains that rise. Write such as \[2, 4, 8\]."),
        ({"sizes": (0, 2)}, r"add: sizes \[0, 2\] are not"),
        ({"sizes": (2, 5)}, "add: 5 domains are to be added and 4 were tuned. Tune more domains, or lower sizes."),
        ({"way": "weights", "method": "slerp"}, "merge: slerp merges two models, and 3 are named"),
        (
            {"way": "weights", "density": 0.5},
            "density is for dare, dare_ties, ties, and",
        ),
        (
            {"way": "weights", "method": "linear", "weight": 0.5},
            "add: linear takes equal shares",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_made(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TeachableError, match=sentence):
        additions_of("add", AddConfig.model_validate(fields), ("a", "b", "c", "d"))


def test_a_weight_is_a_factor_of_each_delta_or_of_the_whole_change() -> None:
    assert merging(AddConfig(weight=0.5), 3, 4) == {
        "method": "task_arithmetic",
        "seed": 3,
        "density": None,
        "weights": (0.5,) * 4,
    }
    ties = merging(AddConfig(method="ties", weight=0.5, density=0.3), 3, 4)
    assert ties == {"method": "ties", "seed": 3, "density": 0.3, "scale": 0.5}
    assert merging(AddConfig(), 0, 4) == {"method": "task_arithmetic", "seed": 0, "density": None}


def test_every_domain_has_the_steps_that_it_had_alone() -> None:
    alone = SteeredConfig(max_steps=100, eval_every=10, learning_rate=0.5)
    assert settings_for(AddConfig(), alone, 1) == alone
    found = settings_for(AddConfig(learning_rate=0.1), alone, 4)
    assert (found.max_steps, found.eval_every, found.learning_rate, found.patience) == (400, 40, 0.1, alone.patience)
