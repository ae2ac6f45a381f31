"""The head of an answer is written together with what follows it, and nothing of an answer is lost."""

import h11
import pytest

from service.http.parsing import Pieces

REQUEST = b"%s / HTTP/1.1\r\nhost: a\r\n\r\n"


def asked(method: bytes = b"GET") -> Pieces:
    connection = Pieces(h11.SERVER)
    connection.receive_data(REQUEST % method)
    assert isinstance(connection.next_event(), h11.Request)
    return connection


def test_the_head_goes_with_the_first_part_of_the_body() -> None:
    connection = asked()
    assert connection.send(h11.Response(status_code=200, headers=[("content-length", "4")])) == b""
    first = connection.send(h11.Data(data=b"ab"))
    assert first is not None
    assert first.startswith(b"HTTP/1.1 200")
    assert first.endswith(b"\r\n\r\nab")
    assert connection.send(h11.Data(data=b"cd")) == b"cd"
    assert connection.send(h11.EndOfMessage()) == b""


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_an_answer_without_a_body_is_written_at_its_end(method: bytes, status: int) -> None:
    connection = asked(method)
    assert connection.send(h11.Response(status_code=status, headers=[])) == b""
    end = connection.send(h11.EndOfMessage())
    assert end is not None
    assert end.startswith(b"HTTP/1.1 %d" % status)


def test_a_word_before_the_answer_is_written_at_once() -> None:
    connection = asked(b"POST")
    word = connection.send(h11.InformationalResponse(status_code=100, headers=[]))
    assert word.startswith(b"HTTP/1.1 100")


def test_each_answer_of_a_connection_has_its_own_head() -> None:
    connection = asked()
    for number in range(3):
        connection.send(h11.Response(status_code=200, headers=[("content-length", "1"), ("number", str(number))]))
        written = b"".join(connection.send(event) or b"" for event in (h11.Data(data=b"x"), h11.EndOfMessage()))
        assert written.count(b"HTTP/1.1") == 1
        assert b"number: %d" % number in written
        assert connection.next_event() is not None
        connection.start_next_cycle()
        connection.receive_data(REQUEST % b"GET")
        connection.next_event()
