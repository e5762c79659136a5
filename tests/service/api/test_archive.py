"""An unsafe archive is refused by its directory alone, before an entry is opened."""

import io
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import archive
from service.archive import check_archive, read_archive
from worker.errors import TooLarge, UnsafeArchive

quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(path: Path, *entries: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries:
            packed.writestr(name, data)
    return path


def declare(path: Path, size_bytes: int) -> Path:
    """Claim another unpacked size for every entry, as a bomb would."""
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + 24 : at + 28] = struct.pack("<I", size_bytes)
        at = data.find(b"PK\x01\x02", at + 4)
    path.write_bytes(data)
    return path


component = st.text(st.characters(codec="utf-8", exclude_characters="/\\:\0"), min_size=1, max_size=12)
plain = component.filter(lambda part: part not in {".", ".."})
separator = st.sampled_from(["/", "\\"])


@quick
@given(parts=st.lists(plain, min_size=1, max_size=5), separator=separator)
def test_ordinary_names_are_accepted_and_become_no_path(tmp_path, parts, separator) -> None:
    path = write(tmp_path / "a.zip", (separator.join(parts), b"data"))
    assert check_archive(path) == 1
    assert [entry.data for entry in read_archive(path)] == [b"data"]
    assert [each.name for each in tmp_path.iterdir()] == ["a.zip"]


@quick
@given(
    before=st.lists(plain, max_size=3), after=st.lists(component, max_size=3), one=separator, two=separator
)
def test_any_name_with_a_parent_component_is_refused(tmp_path, before, after, one, two) -> None:
    name = one.join([*before, ".."]) + "".join(two + part for part in after)
    path = write(tmp_path / "a.zip", (zipfile.ZipInfo(name), b"data"))
    with pytest.raises(UnsafeArchive):
        check_archive(path)


@quick
@given(
    start=st.sampled_from(["/", "\\", "//", "\\\\server\\", "C:", "c:\\", "z:/"]),
    rest=st.lists(component, max_size=3),
)
def test_any_absolute_name_is_refused(tmp_path, start, rest) -> None:
    path = write(tmp_path / "a.zip", (zipfile.ZipInfo(start + "/".join(rest)), b"data"))
    with pytest.raises(UnsafeArchive):
        check_archive(path)


def test_messages_speak_of_positions_and_never_of_names(tmp_path) -> None:
    path = write(tmp_path / "a.zip", ("fine", b""), ("../ZZPHIMARK", b""))
    with pytest.raises(UnsafeArchive, match="Entry 2") as refused:
        check_archive(path)
    assert "ZZPHIMARK" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o060644, 0o140755])
def test_links_and_devices_are_refused(tmp_path, mode) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = mode << 16
    with pytest.raises(UnsafeArchive, match="link or a device"):
        check_archive(write(tmp_path / "a.zip", (info, b"/etc/passwd")))


def test_an_encrypted_entry_is_refused(tmp_path) -> None:
    path = write(tmp_path / "a.zip", ("a", b"data"))
    data = bytearray(path.read_bytes())
    data[data.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(UnsafeArchive, match="encrypted"):
        check_archive(path)


def test_unusual_compression_is_refused(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("a", b"data")
    with pytest.raises(UnsafeArchive, match="compressed"):
        check_archive(tmp_path / "a.zip")


def test_a_bomb_is_refused_by_its_ratio(tmp_path) -> None:
    path = write(tmp_path / "a.zip", *[(str(n), bytes(60 * 2**20)) for n in range(5)])
    with pytest.raises(UnsafeArchive, match="times its size"):
        check_archive(path)


def test_a_large_entry_is_refused_by_its_declared_size(tmp_path) -> None:
    path = declare(write(tmp_path / "a.zip", ("a", b"data")), 65 * 2**20)
    with pytest.raises(TooLarge, match="Entry 1"):
        check_archive(path)


def test_an_entry_that_lies_about_its_size_is_damaged_and_not_read_further(tmp_path) -> None:
    path = declare(write(tmp_path / "a.zip", ("a", bytes(10 * 2**20))), 1000)
    check_archive(path)
    assert [entry.data for entry in read_archive(path)] == [None]


def test_too_many_bytes_in_all_are_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 100)
    with pytest.raises(TooLarge):
        check_archive(write(tmp_path / "a.zip", ("a", bytes(60)), ("b", bytes(60))))


def test_too_many_entries_are_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(archive, "MAX_ENTRIES", 2)
    with pytest.raises(TooLarge, match="entries"):
        check_archive(write(tmp_path / "a.zip", *[(str(n), b"") for n in range(3)]))


def test_a_huge_directory_is_never_loaded(tmp_path) -> None:
    path = write(tmp_path / "a.zip", *[(f"{n:0200d}", b"") for n in range(20_000)])
    with pytest.raises(TooLarge, match="directory"):
        check_archive(path)


def test_a_compressible_ct_is_no_bomb(tmp_path) -> None:
    path = write(tmp_path / "a.zip", *[(str(n), bytes(2**19)) for n in range(160)])
    assert check_archive(path) == 160


@quick
@given(data=st.binary(max_size=300))
def test_any_bytes_are_either_an_archive_or_refused(tmp_path, data) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x05\x06" + data)
    try:
        check_archive(path)
        list(read_archive(path))
    except (UnsafeArchive, TooLarge):
        pass


@quick
@given(flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=8))
def test_a_mutated_archive_never_raises_anything_else(tmp_path, flips) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("one", b"abc" * 50)
        made.writestr("two", b"def" * 50)
    data = bytearray(packed.getvalue())
    for at, mask in flips:
        data[at % len(data)] ^= mask
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    try:
        check_archive(path)
        assert all(
            entry.data is None or len(entry.data) <= archive.MAX_ENTRY_BYTES for entry in read_archive(path)
        )
    except (UnsafeArchive, TooLarge):
        pass
