"""Downloads: a file is there whole, checked and recorded, or not at all; and every failure says what to do."""

import base64
import dataclasses
import gzip
import hashlib
import io
import json
import os
import re
import socket
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from reproduce.cli import main
from reproduce.errors import ConfigError, DataFormatError, DownloadError
from reproduce.loaders import _transfer, download
from reproduce.loaders.download import RECORD, Source, Transfer, download_dataset, read_registry, verify_dataset

NAME = "tiny"
TABLE, PEOPLE, STUDY = "gene_reads_2017-06-05_v8_lung.gct.gz", "SubjectPhenotypesDS.txt", "luad_tcga.tar.gz"
GCT = "#1.2\n2\t2\nName\tDescription\tGTEX-A-1\tGTEX-B-1\nENSG1.1\tTP53\t1\t2\nENSG2.1\tMDM2\t3\t4\n"
PHENOTYPES = b"SUBJID\tSEX\tAGE\tDTHHRDY\nGTEX-A\t1\t50-59\t0\nGTEX-B\t2\t60-69\t4\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:7f98\nsize 90865059\n"
PAGE = b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n"
STUDY_TABLES = {
    "data_mrna_seq_v2_rsem.txt": b"Hugo_Symbol\tEntrez_Gene_Id\tTCGA-05-4244-01\nTP53\t7157\t1.5\n",
    "data_clinical_patient.txt": b"#c\nPATIENT_ID\tSEX\tAGE\nTCGA-05-4244\tMale\t70\n",
    "data_clinical_sample.txt": b"#c\nPATIENT_ID\tSAMPLE_ID\nTCGA-05-4244\tTCGA-05-4244-01\n",
    "LICENSE": b"terms" * 500,
}
IMPATIENT = Transfer(attempts=3, wait=0, timeout=5, block=50)
ONCE = Transfer(attempts=0, timeout=5, block=50)


def archive(tables=STUDY_TABLES):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, data in tables.items():
            member = tarfile.TarInfo(f"luad_tcga/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return made.getvalue()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@dataclasses.dataclass
class Served:
    """How the server answers at one path."""

    body: bytes = b""
    status: int = 200
    headers: dict = dataclasses.field(default_factory=dict)
    etag: str | None = '"one"'
    ranges: bool = True  # whether it honours Range
    if_range: bool = True  # … only under the condition of If-Range
    stretch: int | None = None  # most bytes of an answer to Range
    cuts: list = dataclasses.field(default_factory=list)  # bytes sent before each of the next answers breaks off
    statuses: list = dataclasses.field(default_factory=list)  # of the next answers


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that hangs up is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        served = self.server.served.get(self.path, Served(status=404))
        status = served.statuses.pop(0) if served.statuses else served.status
        if status != 200:
            return self.answer(status, b"" if status < 400 else b"an error page", served.headers)
        body, headers = served.body, dict(served.headers)
        if served.etag:
            headers["ETag"] = served.etag
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", "none") in (served.etag, headers.get("Last-Modified"))
        if span and served.ranges and (same or not served.if_range):
            start = int(span[1])
            if start >= len(body):
                return self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
            end = len(body) if served.stretch is None else min(len(body), start + served.stretch)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
            status, body = 206, body[start:end]
        return self.answer(status, body, headers, served.cuts.pop(0) if served.cuts else None)

    def answer(self, status, body, headers, cut=None):
        self.server.sent.append(status)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    """A portal on this machine; `served` by path, and what was asked of it."""
    with Server(("127.0.0.1", 0), Handler) as running:
        running.served, running.asked, running.sent = {}, [], []
        running.address = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def bodies():
    table = gzip.compress((GCT + "".join(f"ENSG{i}.1\tG{i}\t{i}\t{7 * i}\n" for i in range(3, 400))).encode())
    return {TABLE: table, PEOPLE: PHENOTYPES, STUDY: archive()}


@pytest.fixture
def sources(server, bodies):
    """Three sources, one of each portal and form, served at /first and /second."""
    for name, body in bodies.items():
        server.served[f"/first/{name}"] = Served(body)
    forms = {TABLE: "gct", PEOPLE: "phenotypes", STUDY: "study"}
    return [
        Source(name, form, (f"{server.address}/first/{name}", f"{server.address}/second/{name}"), page="the.portal")
        for name, form in forms.items()
    ]


@pytest.fixture
def fetch(tmp_path, sources):
    """Run the download into tmp_path/data; `only` restricts it to one source, changed by the other arguments."""

    def run(only=None, *, from_folder=None, progress=False, transfer=IMPATIENT, **changes):
        chosen = [dataclasses.replace(source, **changes) for source in sources if only in (None, source.file)]
        return download_dataset(
            NAME,
            folder=tmp_path / "data",
            from_folder=from_folder,
            progress=progress,
            registry={NAME: chosen},
            transfer=transfer,
        )

    run.target = tmp_path / "data" / NAME
    return run


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def unused_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


# --- what is fetched is there whole, recorded, and not fetched again ---


def test_files_come_byte_for_byte_and_are_recorded(fetch, bodies):
    assert fetch() == fetch.target
    assert left_in(fetch.target) == sorted([*bodies, RECORD])
    record = json.loads((fetch.target / RECORD).read_text())
    for name, body in bodies.items():
        assert (fetch.target / name).read_bytes() == body
        assert record[name]["sha256"] == sha256(body)
        assert record[name]["origin"].endswith(f"/first/{name}")
    verify_dataset(fetch.target)


def test_a_second_run_asks_for_nothing(fetch, server):
    fetch()
    server.asked.clear()
    fetch()
    assert server.asked == []


def test_an_absent_file_alone_is_fetched_again(fetch, server):
    fetch()
    (fetch.target / PEOPLE).unlink()
    server.asked.clear()
    fetch()
    assert [path for path, _ in server.asked] == [f"/first/{PEOPLE}"]


def test_silence_and_progress(fetch, capfd):
    fetch(TABLE)
    assert capfd.readouterr() == ("", "")
    fetch(progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert f"{PEOPLE}: 100%" in shown.err and "B/s" in shown.err
    assert f"{TABLE}: there already" in shown.err and f"complete: {fetch.target}" in shown.err


def test_a_redirection_is_followed(fetch, server, bodies):
    server.served["/first/" + TABLE] = Served(status=302, headers={"Location": f"/moved/{TABLE}"})
    server.served["/moved/" + TABLE] = Served(bodies[TABLE])
    fetch(TABLE)
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE]


def test_bytes_are_kept_as_stored_whatever_the_server_calls_their_encoding(fetch, server, bodies):
    server.served["/first/" + STUDY].headers["Content-Encoding"] = "gzip"
    server.served["/first/" + STUDY].cuts = [300]
    fetch(STUDY)
    assert (fetch.target / STUDY).read_bytes() == bodies[STUDY]


# --- continued after an interruption, never from other bytes ---


def test_a_broken_connection_is_continued_where_it_stopped(fetch, server, bodies):
    server.served["/first/" + TABLE].cuts = [100, 200]
    fetch(TABLE)
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE]
    assert [span for _, span in server.asked] == [None, "bytes=100-", "bytes=300-"]
    assert server.sent == [200, 206, 206]


def test_a_server_may_send_a_stretch_at_a_time(fetch, server, bodies):
    served = server.served["/first/" + TABLE]
    served.cuts, served.stretch = [100], 450
    fetch(TABLE)
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE]
    assert server.asked[2][1] == "bytes=550-"


def test_progress_renews_the_patience(fetch, server, bodies):
    cuts = [50] * 9  # thrice the attempts
    server.served["/first/" + TABLE].cuts = list(cuts)
    fetch(TABLE)
    assert len(server.asked) == len(cuts) + 1
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE]


@pytest.mark.parametrize("validator", ["etag", "date"])
def test_another_run_continues_and_then_nothing_is_left_over(fetch, server, bodies, validator):
    served = server.served["/first/" + TABLE]
    if validator == "date":
        served.etag, served.headers["Last-Modified"] = None, "Wed, 21 Oct 2015 07:28:00 GMT"
    served.cuts = [400]
    with pytest.raises(DownloadError, match=rf"the connection ended after 400 of {len(bodies[TABLE]):,} bytes"):
        fetch(TABLE, transfer=ONCE)
    assert (fetch.target / f"{TABLE}.part").stat().st_size == 400
    assert not (fetch.target / TABLE).exists()
    server.asked.clear()
    fetch(TABLE)
    assert server.asked[0][1] == "bytes=400-"
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE]
    assert left_in(fetch.target) == sorted([TABLE, RECORD])


def interrupt(fetch, server, file, after):
    """Leave `after` bytes of a file behind."""
    server.served[f"/first/{file}"].cuts = [after]
    with pytest.raises(DownloadError):
        fetch(file, transfer=ONCE)
    assert (fetch.target / f"{file}.part").stat().st_size == after
    server.asked.clear()


def test_an_interrupted_command_keeps_what_has_come(fetch, server, bodies, monkeypatch):
    write, written = _transfer._Sink.write, []

    def interrupted(sink, block):
        if len(written) == 8:
            raise KeyboardInterrupt
        written.append(block)
        write(sink, block)

    with monkeypatch.context() as patch:
        patch.setattr(_transfer._Sink, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(TABLE)
    assert (fetch.target / f"{TABLE}.part").read_bytes() == b"".join(written) == bodies[TABLE][:400]
    fetch(TABLE)
    assert [span for _, span in server.asked] == [None, "bytes=400-"]
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE]


def test_a_server_without_ranges_sends_the_whole_again(fetch, server, bodies):
    server.served["/first/" + TABLE].ranges = False
    interrupt(fetch, server, TABLE, 400)
    fetch(TABLE)
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE]


def test_a_file_that_changed_on_the_server_is_not_joined_to_the_old_part(fetch, server):
    interrupt(fetch, server, TABLE, 400)
    old = server.served["/first/" + TABLE].body
    other = old[:4] + b"\x01\x02\x03\x04" + old[8:]  # another time in the header: the halves would fit together
    server.served["/first/" + TABLE] = Served(other, etag='"two"')
    fetch(TABLE)
    assert server.asked[0][1] == "bytes=400-"
    assert (fetch.target / TABLE).read_bytes() == other


def test_a_server_that_continues_another_file_is_not_believed(fetch, server):
    """It does not know If-Range, and the file has the same length, but its ETag gives it away."""
    interrupt(fetch, server, TABLE, 400)
    old = server.served["/first/" + TABLE].body
    other = old[:4] + b"\x01\x02\x03\x04" + old[8:]  # another time in the header: the halves would fit together
    server.served["/first/" + TABLE] = Served(other, etag='"two"', if_range=False)
    fetch(TABLE)
    assert [span for _, span in server.asked] == ["bytes=400-", None]
    assert (fetch.target / TABLE).read_bytes() == other


@pytest.mark.parametrize("etag", ['W/"weak"', None])
def test_without_a_strong_validator_it_is_begun_anew(fetch, server, bodies, etag):
    server.served["/first/" + TABLE].etag = etag
    interrupt(fetch, server, TABLE, 400)
    server.served["/first/" + TABLE].cuts = [500]
    fetch(TABLE)
    assert [span for _, span in server.asked] == [None, None]
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE]


def test_a_spoilt_part_is_noticed_and_fetched_whole(fetch, server, bodies):
    interrupt(fetch, server, TABLE, 400)
    (fetch.target / f"{TABLE}.part").write_bytes(b"\x00" * 400)
    fetch(TABLE)
    assert [span for _, span in server.asked] == ["bytes=400-", None]
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE]


@pytest.mark.parametrize("note", ["", "[]", '{"address": 1}', "{"])
def test_a_part_whose_note_is_damaged_is_begun_anew(fetch, server, bodies, note):
    interrupt(fetch, server, TABLE, 400)
    (fetch.target / f"{TABLE}.part.json").write_text(note)
    fetch(TABLE)
    assert [span for _, span in server.asked] == [None]
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE]


def test_a_part_longer_than_the_file_is_begun_anew(fetch, server, bodies):
    interrupt(fetch, server, TABLE, 400)
    with open(fetch.target / f"{TABLE}.part", "ab") as handle:
        handle.write(b"\x00" * len(bodies[TABLE]))
    fetch(TABLE)
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE]


def test_a_part_that_was_whole_needs_no_network(fetch, server, bodies):
    interrupt(fetch, server, TABLE, 400)
    (fetch.target / f"{TABLE}.part").write_bytes(bodies[TABLE])
    fetch(TABLE)
    assert server.asked == []
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE]


def test_the_parts_of_two_addresses_are_not_joined(fetch, server, bodies):
    interrupt(fetch, server, TABLE, 400)
    server.served["/first/" + TABLE] = Served(status=404)
    server.served["/second/" + TABLE] = Served(bodies[TABLE])
    fetch(TABLE)
    assert server.asked == [(f"/first/{TABLE}", "bytes=400-"), (f"/second/{TABLE}", None)]
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE]


# --- addresses that fail ---


def test_the_second_address_serves_where_the_first_does_not(fetch, server, bodies):
    server.served["/second/" + TABLE] = server.served.pop("/first/" + TABLE)
    fetch(TABLE)
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE]
    assert json.loads((fetch.target / RECORD).read_text())[TABLE]["origin"].endswith(f"/second/{TABLE}")


def test_a_passing_trouble_of_the_server_is_waited_out(fetch, server, bodies):
    server.served["/first/" + TABLE].statuses = [503, 429]
    fetch(TABLE)
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE]


@pytest.mark.parametrize(("status", "times"), [(404, 1), (403, 1), (500, 3)])
def test_an_error_names_every_address_and_the_remedy_and_the_others_are_fetched(fetch, server, status, times):
    server.served["/first/" + TABLE] = Served(status=status)
    with pytest.raises(DownloadError) as caught:
        fetch(note="never confirmed")
    message = str(caught.value)
    assert message.startswith(
        f"1 of 3 files that {NAME} lacks were not fetched. {TABLE}: {server.address}/first/{TABLE}: HTTP {status}"
    )
    assert f"{server.address}/second/{TABLE}: HTTP 404" in message
    assert "never confirmed" in message and "the.portal" in message
    assert f"reproduce download {NAME} --from FOLDER" in message
    assert [path for path, _ in server.asked].count(f"/first/{TABLE}") == times
    assert left_in(fetch.target) == sorted([PEOPLE, STUDY, RECORD])


def test_without_a_network_it_stops_at_the_first_file(fetch, sources):
    nowhere = unused_address()
    with pytest.raises(DownloadError, match=rf"{nowhere}/x: Connection refused.*{STUDY}: not tried"):
        fetch(addresses=(f"{nowhere}/x",))


def test_a_server_that_falls_silent_is_not_waited_for_forever(fetch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(DownloadError, match=f"{address}: no answer in time"):
            fetch(TABLE, addresses=(address,), transfer=Transfer(attempts=1, timeout=0.2))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_at_once_and_as_such(fetch, server):
    fetch.target.mkdir(parents=True)
    (fetch.target / f"{TABLE}.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match=rf"{TABLE}.part: cannot be written \(No space left on device\).*make room"):
        fetch(TABLE)
    assert len(server.asked) == 1
    assert not (fetch.target / TABLE).exists()


# --- what comes must be what is expected ---


@pytest.mark.parametrize("file", [TABLE, PEOPLE, STUDY])
@pytest.mark.parametrize(
    ("body", "words"), [(PAGE, "web page"), (POINTER, "Git LFS pointer"), (b"", "empty"), (b"\x00\x01" * 99, "")]
)
def test_something_else_is_refused_and_not_kept(fetch, server, file, body, words):
    server.served[f"/first/{file}"] = Served(body)
    with pytest.raises(DownloadError, match=f"/first/{file}: .*{words}"):
        fetch(file)
    assert left_in(fetch.target) == []


@pytest.mark.parametrize("file", [TABLE, STUDY])
def test_every_cut_of_a_compressed_file_is_refused(fetch, server, bodies, file):
    """The server says that it is whole: its form alone gives it away."""
    whole = bodies[file]
    for size in [*range(0, len(whole), len(whole) // 12), len(whole) - 8, len(whole) - 1]:
        server.served[f"/first/{file}"] = Served(whole[:size])
        with pytest.raises(DownloadError, match=file):
            fetch(file)
        assert left_in(fetch.target) == []


@pytest.mark.parametrize("absent", list(STUDY_TABLES)[:3])
def test_an_archive_without_a_table_or_with_a_pointer_in_its_place_is_refused(fetch, server, absent):
    tables = {name: data for name, data in STUDY_TABLES.items() if name != absent}
    server.served["/first/" + STUDY] = Served(archive(tables))
    with pytest.raises(DownloadError, match=f"{absent} is not in it"):
        fetch(STUDY)
    server.served["/first/" + STUDY] = Served(archive({**STUDY_TABLES, absent: POINTER}))
    with pytest.raises(DownloadError, match=f"{absent}: this is a Git LFS pointer"):
        fetch(STUDY)
    assert left_in(fetch.target) == []


def test_the_servers_own_checksum_is_heeded(fetch, server, bodies):
    """Google's storage tells the MD5; here the first transfer is damaged where the form does not show it."""
    served = server.served["/first/" + PEOPLE]
    md5 = base64.b64encode(hashlib.md5(PHENOTYPES).digest()).decode()
    served.headers["x-goog-hash"] = f"crc32c=AAAAAA==, md5={md5}"
    fetch(PEOPLE)
    (fetch.target / PEOPLE).unlink()
    served.body = PHENOTYPES.replace(b"50-59", b"40-49")
    with pytest.raises(DownloadError, match="arrived damaged"):
        fetch(PEOPLE)
    assert not (fetch.target / PEOPLE).exists()


@pytest.mark.parametrize(("publisher", "doubt"), [("a third party", True), ("the portal", False)])
def test_a_published_checksum_is_held_and_its_publisher_named(fetch, bodies, publisher, doubt):
    wrong = "0" * 64
    with pytest.raises(DownloadError) as caught:
        fetch(PEOPLE, sha256=wrong, published_by=publisher)
    message = str(caught.value)
    assert f"differs from the checksum that {publisher} published" in message
    assert wrong in message and sha256(bodies[PEOPLE]) in message
    assert ("either the file or that checksum is wrong" in message) is doubt
    assert left_in(fetch.target) == []
    fetch(PEOPLE, sha256=sha256(bodies[PEOPLE]), published_by=publisher)


# --- files that are there already ---


@pytest.fixture
def shelf(tmp_path, bodies):
    """A folder that has all files."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name, body in bodies.items():
        (folder / name).write_bytes(body)
    return folder


def test_from_a_folder_needs_no_network_and_leaves_it_alone(fetch, server, shelf, bodies):
    before = {path: path.stat() for path in shelf.iterdir()}
    fetch(from_folder=shelf)
    assert server.asked == []
    assert {path: path.stat() for path in shelf.iterdir()}.keys() == before.keys()
    for name, body in bodies.items():
        assert (fetch.target / name).read_bytes() == body
        assert not (fetch.target / name).samefile(shelf / name)
    verify_dataset(fetch.target)


def test_from_a_folder_takes_an_unpacked_table_under_its_own_name(fetch, shelf, bodies):
    (shelf / TABLE).unlink()
    unpacked = TABLE.removesuffix(".gz")
    (shelf / unpacked).write_bytes(gzip.decompress(bodies[TABLE]))
    fetch(TABLE, from_folder=shelf, sha256=sha256(bodies[TABLE]), published_by="the portal")  # of the packed file
    fetch(from_folder=shelf)
    assert left_in(fetch.target) == sorted([unpacked, PEOPLE, STUDY, RECORD])
    fetch()
    assert not (fetch.target / TABLE).exists()


def test_from_a_folder_names_what_it_lacks_after_taking_the_rest(fetch, shelf):
    (shelf / STUDY).unlink()
    (shelf / PEOPLE).unlink()
    with pytest.raises(DownloadError, match=rf"not in it are {PEOPLE}, {STUDY}\..*reproduce download {NAME}"):
        fetch(from_folder=shelf)
    assert left_in(fetch.target) == sorted([TABLE, RECORD])
    fetch()


def test_from_a_folder_refuses_a_cut_file_by_its_own_path(fetch, shelf, bodies):
    (shelf / STUDY).write_bytes(bodies[STUDY][:-200])
    with pytest.raises(DataFormatError, match=f"{shelf / STUDY}: the archive is cut short"):
        fetch(from_folder=shelf)
    assert not (fetch.target / STUDY).exists()
    assert not [path for path in fetch.target.iterdir() if path.name.startswith(".")]


def test_from_a_folder_that_is_not_there(fetch, tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        fetch(from_folder=tmp_path / "nowhere")


def test_files_put_into_the_data_folder_by_hand_are_kept_checked_and_recorded(fetch, server, bodies, shelf, capfd):
    """What lies there is the user's: another checksum than the published one is said, and no more."""
    fetch.target.parent.mkdir()
    shelf.rename(fetch.target)
    fetch(sha256="0" * 64, published_by="a third party", progress=True)
    said = capfd.readouterr().err
    assert server.asked == []
    for name, body in bodies.items():
        assert re.search(f"{name}: differs from .* a third party published.*{sha256(body)} found.*kept", said)
    assert set(json.loads((fetch.target / RECORD).read_text())) == set(bodies)


def test_a_broken_file_in_the_data_folder_is_named_and_not_replaced(fetch, server, bodies):
    fetch.target.mkdir(parents=True)
    (fetch.target / TABLE).write_bytes(bodies[TABLE][:500])
    with pytest.raises(DataFormatError, match=f"{fetch.target / TABLE}: .*cut short.*remove it, and the same command"):
        fetch()
    assert (fetch.target / TABLE).read_bytes() == bodies[TABLE][:500]


def test_an_unpacked_study_is_as_good_as_its_archive(fetch, server):
    (fetch.target / "luad_tcga").mkdir(parents=True)
    fetch(STUDY)
    assert server.asked == []


# --- verify_dataset ---


def test_a_changed_file_is_named_with_both_checksums_and_the_remedy(fetch, bodies):
    fetch()
    changed = PHENOTYPES.replace(b"50-59", b"40-49")
    (fetch.target / PEOPLE).write_bytes(changed)
    os.utime(fetch.target / PEOPLE, ns=(1, 1))  # a clock too coarse to tell the two apart must not decide the test
    for refuse in (lambda: verify_dataset(fetch.target), fetch):
        with pytest.raises(DataFormatError) as caught:
            refuse()
        message = str(caught.value)
        assert message.startswith(f"{fetch.target / PEOPLE}: changed")
        assert sha256(bodies[PEOPLE]) in message and sha256(changed) in message
        assert f"reproduce download {NAME}" in message
    (fetch.target / PEOPLE).unlink()
    fetch()
    verify_dataset(fetch.target)


def test_unchanged_files_are_hashed_once_after_being_touched_and_not_otherwise(fetch, monkeypatch):
    fetch()
    hashed = []
    monkeypatch.setattr(download, "sha256_of", lambda path: hashed.append(path.name) or sha256(path.read_bytes()))
    verify_dataset(fetch.target)
    assert hashed == []
    os.utime(fetch.target / TABLE, ns=(1, 1))
    verify_dataset(fetch.target)
    verify_dataset(fetch.target)
    assert hashed == [TABLE]


def test_there_is_nothing_to_verify_without_a_record_or_file(fetch, tmp_path, shelf):
    verify_dataset(tmp_path / "nowhere")
    verify_dataset(shelf)
    fetch()
    (fetch.target / STUDY).unlink()  # whoever needs it says so
    verify_dataset(fetch.target)


@pytest.mark.parametrize("text", ["", "[1]", '{"a": 1}', '{"a": {"sha256": 1, "size": 1, "mtime_ns": 1}}'])
def test_a_damaged_record_is_named(tmp_path, text):
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(DataFormatError, match=rf"{RECORD}: damaged.*remove it"):
        verify_dataset(tmp_path)


# --- the registry, and the command line ---


def test_the_packages_registry_has_what_the_loaders_read():
    registry = read_registry()
    assert set(registry) == {"gtex-tcga-p53", "gtex-v8"}
    assert [source.file for source in registry["gtex-tcga-p53"]] == [
        "gene_reads_2017-06-05_v8_lung.gct.gz",
        "gene_reads_2017-06-05_v8_colon_transverse.gct.gz",
        "GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS.txt",
        "luad_tcga.tar.gz",
        "coadread_tcga.tar.gz",
    ]
    for source in (source for sources in registry.values() for source in sources):
        for address in source.addresses:
            assert address.startswith("https://") and address.rsplit("/", 1)[1] == source.file
        assert source.page.startswith("https://")
        assert bool(source.sha256) == bool(source.published_by)
        assert re.fullmatch(r"([0-9a-f]{64})?", source.sha256)


def test_every_source_stands_in_the_data_readme(repository):
    text = (repository / "data" / "README.md").read_text(encoding="utf-8")
    for source in (source for sources in read_registry().values() for source in sources):
        assert source.file in text
        assert source.sha256 in text


@pytest.mark.parametrize(
    "row", ["x,f,gct,,,,,", "x,f,nonsense,http://a/f,,,,", ",f,gct,http://a/f,,,,", "x,f", "x,f,gct,a,,,,,more"]
)
def test_a_registry_with_a_bad_row_is_refused(tmp_path, row):
    path = tmp_path / "registry.csv"
    path.write_text(f"dataset,file,form,addresses,sha256,published_by,page,note\n{row}\n")
    with pytest.raises(DataFormatError, match="row 2"):
        read_registry(path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gtex", "unknown data set 'gtex'; known are gtex-tcga-p53"),
        ("embedded", "simulated"),
        ("student-p53", "README"),
    ],
)
def test_a_name_that_cannot_be_fetched_is_one_line(capsys, name, words):
    assert main(["download", name]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and words in shown and shown.count("\n") == 1


def test_the_command_lands_where_the_study_looks(tmp_path, monkeypatch, capsys, bodies):
    """REPRODUCE_DATA names the data folder; the files go to its subfolder of the data set's name."""
    monkeypatch.setenv("REPRODUCE_DATA", str(tmp_path / "data"))
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for source in read_registry()["gtex-tcga-p53"]:
        (shelf / source.file).write_bytes(bodies[{"gct": TABLE, "study": STUDY}.get(source.form, TABLE)])
    people = shelf / "GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS.txt"
    people.unlink()
    assert main(["download", "gtex-tcga-p53", "--from", str(shelf), "--quiet"]) == 2
    assert f"not in it are {people.name}." in capsys.readouterr().err
    (tmp_path / "data" / "gtex-tcga-p53" / people.name).write_bytes(PHENOTYPES)
    assert main(["download", "gtex-tcga-p53", "--from", str(shelf), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
