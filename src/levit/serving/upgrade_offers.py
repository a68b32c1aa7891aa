"""HTTP connections of uvicorn whose requests may offer another protocol, such as HTTP/2; the offer is not accepted."""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class UpgradeOffers(HttpToolsProtocol):
    """Connection on which a request with an offer goes on without it, as HTTP allows.

    The parser ends at the head of such a request, and would lose its body. The head is parsed again without the offer,
    so that the callbacks of a head and of a complete request come twice: the first ones are to be left out, while
    `is_offer()`.
    """

    def is_offer(self) -> bool:
        """Return whether the last head offers another protocol, as that of each request of Java's HttpClient does."""
        return bool(self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT")

    def parse(self, data: bytes) -> None:
        """Parse a part of a request."""
        rest: bytes | memoryview = data
        try:
            while True:
                try:
                    self.parser.feed_data(rest)
                    return
                except HttpParserUpgrade as upgrade:
                    rest = memoryview(rest)[upgrade.args[0] :]
                    if self.is_offer():
                        self._parse_head_again()
        except HttpParserError as error:
            self.send_400_response(str(error))

    def _parse_head_again(self) -> None:
        """Parse the last head as if it had offered no other protocol."""
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))
