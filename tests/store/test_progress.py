"""What people see of a running sweep: a bar on a terminal, and elsewhere lines that a log can bear."""

import io
import re

from sde_engine.progress import Bar, Callback, Lines, Quiet, Snapshot, automatic, duration


def shot(done: int) -> Snapshot:
    return Snapshot(done, 1152, 17, 0, 3.4, 218.0, int(1.2 * 2**30))


def test_a_line_says_what_a_person_asks() -> None:
    line = shot(412).line()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ 412/1152 cells, 3\.4/s, left 3m38s, diverged 17, failed 0, rss 1\.2 GiB", line
    )
    assert "eta" not in line
    unknown = Snapshot(0, 10, 0, 0, None, None, 0).tail()
    assert unknown == "-/s, left unknown, diverged 0, failed 0"


def test_lines_come_once_an_interval_and_at_the_end() -> None:
    stream, now = io.StringIO(), [0.0]
    lines = Lines(stream, interval=30.0, clock=lambda: now[0])
    for second in range(95):
        now[0] = float(second)
        lines.update(shot(second))
    lines.say("a word")
    lines.close()
    text = stream.getvalue()
    assert [int(done) for done in re.findall(r"Z (\d+)/1152", text)] == [30, 60, 90, 94]
    assert "\r" not in text
    assert "\x1b" not in text
    assert "a word\n" in text


def test_an_end_without_progress_writes_nothing() -> None:
    stream = io.StringIO()
    Lines(stream).close()
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar_and_a_log_gets_lines() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    bar = automatic(stream)
    assert isinstance(bar, Bar)
    assert isinstance(automatic(io.StringIO()), Lines)
    bar.update(shot(3))
    bar.say("cell [eta = 0.1] failed: x")
    bar.update(shot(1152))
    bar.close()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "1152/1152" in plain
    assert "cell [eta = 0.1] failed: x" in plain
    assert "diverged 17" in plain


def test_quiet_is_quiet_and_a_function_gets_every_state() -> None:
    seen: list[Snapshot] = []
    for reporter in (Quiet(), Callback(seen.append)):
        reporter.update(shot(1))
        reporter.say("a word")
        reporter.close()
    assert seen == [shot(1)]


def test_time_spans_read_as_people_write_them() -> None:
    spans = [duration(seconds) for seconds in (0.0, 59.4, 59.6, 218.0, 3599.7, 7322.0, 360000.0)]
    assert spans == ["0s", "59s", "1m00s", "3m38s", "1h00m", "2h02m", "100h00m"]
