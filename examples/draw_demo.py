"""Draw what `touchline run` shows for the sample recording, as the picture of the README."""

import io
from pathlib import Path

from rich.console import Console

from edge.config import Config, Source
from edge.runtime import run
from edge.sinks import Terminal

HERE = Path(__file__).parent

if __name__ == "__main__":
    console = Console(record=True, width=104, file=io.StringIO(), force_terminal=True, highlight=False)
    run(Config(source=Source(url=str(HERE / "match.mp4"))), [Terminal(console)])
    console.save_svg(str(HERE.parent / "docs" / "demo.svg"), title="touchline run examples/match.mp4")
