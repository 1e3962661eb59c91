"""Where a store cannot be, and what is said about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringdict import Cluster, Dict, UnavailableError
from ringdict.node.disk.folder import Tenancy, file_system, prepare

MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 21 0:50 / /mnt/nfs rw - nfs4 server:/export rw
31 30 8:2 / /mnt/nfs/local rw - xfs /dev/sdb1 rw
32 21 0:51 / /mnt/with\\040space rw - fuse.sshfs user@host:/ rw
33 21 0:52 / /mnt/nf rw - tmpfs tmpfs rw
cut short
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    """What the kernel would tell."""
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS)
    return path


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/user", "ext4"),
        ("/mnt/nfs", "nfs4"),
        ("/mnt/nfs/a/b", "nfs4"),
        ("/mnt/nfs/local/a", "xfs"),
        ("/mnt/with space/a", "fuse.sshfs"),
        ("/mnt/nf", "tmpfs"),
        ("/mnt/nfx", "ext4"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(folder: str, kind: str, mounts: Path) -> None:
    assert file_system(Path(folder), mounts) == kind


def test_where_the_system_does_not_tell_it_is_any(tmp_path: Path) -> None:
    assert file_system(tmp_path, tmp_path / "missing") == ""
    prepare(tmp_path / "store", tmp_path / "missing")


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"30 21 0:50 / {tmp_path} rw - nfs4 server:/export rw\n")
    with pytest.raises(UnavailableError, match=r"network file system \(nfs4\).*RINGDICT_HOME"):
        prepare(tmp_path / "store", mounts)


def use(folder: Path) -> None:
    with Cluster(f"file://{folder}?durability=none") as cluster:
        Dict.from_name("d", create_if_missing=True, cluster=cluster)["k"] = 1


def test_a_file_in_its_place_is_refused(folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(UnavailableError, match=r"Not a directory.*RINGDICT_HOME"):
        use(folder)
    folder.unlink()
    folder.mkdir()
    (folder / "entries").write_text("a file")
    with pytest.raises(UnavailableError, match="is not a folder"):
        use(folder)


@pytest.mark.parametrize("call", ["pathlib.Path.mkdir", "os.open"])
def test_a_folder_without_permission_says_what_to_do(
    call: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs the tests may be root, whom nothing is forbidden; so the refusal is made up."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    with monkeypatch.context() as patch:
        patch.setattr(call, refuse)
        with pytest.raises(UnavailableError, match=r"Permission denied.*RINGDICT_HOME"):
            use(folder)
    use(folder)


def test_a_store_that_is_being_rewritten_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringdict.node.disk.folder.ENTER_TIMEOUT_S", 0.1)
    use(folder)
    tenancy = Tenancy(folder)
    tenancy.seize()
    try:
        with pytest.raises(UnavailableError, match="being compacted"):
            use(folder)
    finally:
        tenancy.close()
    use(folder)
