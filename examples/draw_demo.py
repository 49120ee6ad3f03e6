"""Draw what `touchline run` shows for the sample recording, as the picture of the README."""

import io
import re
from pathlib import Path

from rich.console import Console

from edge.config import Config, Source
from edge.runtime import run
from edge.sinks import Terminal

HERE = Path(__file__).parent

if __name__ == "__main__":
    console = Console(record=True, width=104, file=io.StringIO(), force_terminal=True, highlight=False)
    run(Config(source=Source(url=str(HERE / "match.mp4"))), [Terminal(console)])
    picture = console.export_svg(title="touchline run examples/match.mp4")
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)  # they would be fetched from the network
    (HERE.parent / "docs" / "demo.svg").write_text(picture, encoding="utf-8")
