"""A run folder has one owner and one worker; a stage is complete or it is not, and stale work goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from teachable.errors import TeachableError
from teachable.store.files import write_json, write_text
from teachable.store.manifest import RunFolder, StageEntry


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunFolder]:
    folder = RunFolder(tmp_path / "run")
    with folder.locked("recipe"):
        yield folder


def entry(key: str = "k1", **values: object) -> StageEntry:
    return StageEntry(kind="probe", key=key, version=1, **values)  # type: ignore[arg-type]


def finish(run: RunFolder, stage: str = "probe", key: str = "k1") -> StageEntry:
    folder = run.begin(stage, key)
    write_text(folder / "rows.txt", "abc")
    write_text(folder / "deep" / "more.txt", "d")
    return run.complete(stage, entry(key))


def test_a_new_folder_has_no_stages(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "new")
    assert folder.entries() == {}
    assert folder.recipe_name() is None
    assert not (tmp_path / "new").exists()


def test_completing_records_sizes_and_digests(run: RunFolder) -> None:
    done = finish(run)
    assert set(done.outputs) == {"probe/rows.txt", "probe/deep/more.txt"}
    assert done.outputs["probe/rows.txt"] == {
        "bytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }
    assert run.entry("probe") == done
    assert run.is_complete("probe", "k1")
    assert run.damaged() == []


def test_the_manifest_has_the_documented_shape(run: RunFolder) -> None:
    finish(run)
    document = json.loads(run.manifest_path.read_text())
    assert document["recipe"] == "recipe"
    assert document["format"] == 1
    documented = {"kind", "key", "status", "version", "seconds", "prompts", "completions", "tokens_in", "tokens_out"}
    assert documented | {"cost_usd", "outputs", "note"} <= set(document["stages"]["probe"])
    assert document["stages"]["probe"]["status"] == "done"


def test_another_key_is_not_complete(run: RunFolder) -> None:
    finish(run)
    assert not run.is_complete("probe", "k2")
    assert not run.is_complete("select", "k1")


def test_a_missing_or_shorter_output_is_not_complete(run: RunFolder) -> None:
    done = finish(run)
    (run.path / "probe" / "rows.txt").write_text("ab")
    assert run.missing(done) == ["probe/rows.txt"]
    (run.path / "probe" / "rows.txt").unlink()
    assert run.missing(done) == ["probe/rows.txt"]
    assert not run.is_complete("probe", "k1")


def test_bytes_that_changed_at_the_same_size_are_damage(run: RunFolder) -> None:
    finish(run)
    (run.path / "probe" / "rows.txt").write_text("abX")
    assert run.damaged() == ["probe/rows.txt"]


def test_a_required_path_outside_must_be_there(run: RunFolder, tmp_path: Path) -> None:
    run.begin("pretrain", "k1")
    run.complete("pretrain", entry(requires=(str(tmp_path / "model"),)))
    assert not run.is_complete("pretrain", "k1")
    (tmp_path / "model").mkdir()
    assert run.is_complete("pretrain", "k1")


def test_beginning_keeps_partial_work_of_the_same_key(run: RunFolder) -> None:
    write_text(run.begin("probe", "k1") / "part", "x")
    assert (run.begin("probe", "k1") / "part").read_text() == "x"


def test_beginning_wipes_partial_work_of_another_key(run: RunFolder) -> None:
    write_text(run.begin("probe", "k1") / "deep" / "part", "x")
    (run.path / "models" / "probe-a").mkdir(parents=True)
    (run.path / "models" / "other-a").mkdir(parents=True)
    folder = run.begin("probe", "k2", outside=("models/probe-*",))
    assert [path.name for path in folder.iterdir()] == [".key"]
    assert [path.name for path in run.models_dir.iterdir()] == ["other-a"]


def test_beginning_afresh_wipes_the_same_key_too(run: RunFolder) -> None:
    write_text(run.begin("probe", "k1") / "part", "x")
    assert not (run.begin("probe", "k1", afresh=True) / "part").exists()


def test_partial_work_without_a_key_is_wiped(run: RunFolder) -> None:
    # Killed between the wipe and the marker, or put there by hand: nobody can say what it belongs to.
    write_text(run.path / "probe" / "stray", "x")
    assert not (run.begin("probe", "k1") / "stray").exists()


def test_a_stage_that_is_begun_again_is_not_complete(run: RunFolder) -> None:
    finish(run)
    finish(run, "select")
    run.begin("probe", "k1")
    assert list(run.entries()) == ["select"]


def test_outputs_outside_the_stage_folder_are_recorded(run: RunFolder) -> None:
    run.begin("sft", "k1")
    write_text(run.path / "models" / "sft-a-0" / "config.json", "{}")
    write_text(run.path / "models" / "other" / "config.json", "{}")
    write_text(run.path / "report.html", "x")
    done = run.complete("sft", entry(), outside=("models/sft-*", "report.html"))
    assert set(done.outputs) == {"models/sft-a-0/config.json", "report.html"}


def test_hidden_files_are_no_outputs(run: RunFolder) -> None:
    write_text(run.begin("probe", "k1") / ".part-1.json", "x")
    assert run.complete("probe", entry()).outputs == {}


def test_a_folder_of_another_recipe_is_refused(run: RunFolder) -> None:
    with pytest.raises(TeachableError, match=r"output folder of another recipe \('recipe', not 'other'\).*--out"):
        run.check_owner("other")


def test_a_folder_that_holds_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(TeachableError, match="is not empty and holds no run"), RunFolder(tmp_path).locked("recipe"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(TeachableError, match="the output folder is a file"), RunFolder(tmp_path / "run").locked("r"):
        pass


def test_what_a_killed_start_leaves_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".manifest.json.abc.tmp").touch()
    with RunFolder(tmp_path).locked("recipe"):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "manifest.json"]


def test_two_runs_in_one_folder_are_refused(run: RunFolder) -> None:
    sentence = rf"another run is working in this folder \(process {os.getpid()}\)"
    with pytest.raises(TeachableError, match=sentence), RunFolder(run.path).locked("recipe"):
        pass


def test_the_lock_goes_with_the_run(tmp_path: Path) -> None:
    for _ in range(2):
        with RunFolder(tmp_path / "run").locked("recipe"):
            pass


def test_the_lock_of_a_killed_process_is_gone(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom teachable.store.manifest import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).locked('recipe'):\n    print('in', flush=True)\n    time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "in\n"
    with pytest.raises(TeachableError, match="another run"), RunFolder(tmp_path / "run").locked("recipe"):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate(timeout=10)
    with RunFolder(tmp_path / "run").locked("recipe"):
        pass


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"recipe": "recipe", "format": 2, "stages": {}}, "has format 2, this version reads 1"),
        ({"stages": {}}, "no manifest of a run"),
        ({"recipe": "recipe", "format": 1, "stages": {"probe": {"kind": "probe"}}}, "this manifest is broken"),
        ({"recipe": "recipe", "format": 1, "stages": {"probe": 3}}, "this manifest is broken"),
    ],
)
def test_a_broken_manifest_is_a_sentence(tmp_path: Path, document: object, sentence: str) -> None:
    write_json(tmp_path / "manifest.json", document)
    with pytest.raises(TeachableError, match=sentence):
        RunFolder(tmp_path).entries()


def test_a_card_is_no_result_and_a_required_one_may_change_but_not_go(run: RunFolder) -> None:
    write_text(run.path / "models/sft-a-0/config.json", "{}")
    write_text(run.path / "models/sft-a-0/README.md", "a card that stood when the stage was done again")
    done = run.complete("sft", replace(entry(), requires=("models/sft-a-0/README.md",)), outside=("models/sft-*",))
    assert set(done.outputs) == {"models/sft-a-0/config.json"}
    write_text(run.path / "models/sft-a-0/README.md", "another one")
    assert run.missing(done) == [] and run.damaged() == []
    (run.path / "models/sft-a-0/README.md").unlink()
    assert run.missing(done) == ["models/sft-a-0/README.md"]
