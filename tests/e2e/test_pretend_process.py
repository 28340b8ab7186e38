"""The pretend Pro Santé Connect ends: with who started it, told to, or left alone."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from vaguemestre.pretend import process


def test_it_ends_with_its_user(tmp_path: Path) -> None:
    async def use() -> None:
        async with asyncio.timeout(60):
            async with process.running(
                tmp_path / "pretend.json", realm=0, wallet=0, client="c", secret="s", redirect="http://x/", people=[]
            ):
                pass

    asyncio.run(use())


@pytest.mark.parametrize("told", [True, False])
def test_it_ends_told_to_or_left_alone(tmp_path: Path, told: bool) -> None:
    file = tmp_path / "pretend.json"
    file.write_text(json.dumps({"clients": [], "people": [], "ends_with_input": True}), "utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "vaguemestre.pretend", str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as pretend:
        assert pretend.stdin is not None
        assert pretend.stdout is not None
        assert json.loads(pretend.stdout.readline())["issuer"]
        if told:
            pretend.terminate()  # while the other end of its input is held
        else:
            pretend.stdin.close()
        try:
            assert pretend.wait(30) == 0
        finally:
            pretend.kill()
