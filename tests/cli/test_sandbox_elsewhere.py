"""The sandbox where it is reached under another name, and behind a proxy whose certificate is its own."""

import subprocess
import sys
from pathlib import Path

import httpx

from tests.harness import Process, free_port, wait_until


def test_media_links_begin_with_the_base_url(tmp_path: Path) -> None:
    port = free_port()
    arguments = ["sandbox", "--port", str(port), "--base-url", "http://sandbox.internal:9090/", "--seconds", "0,0"]
    sandbox = Process(arguments, {}, tmp_path, tmp_path / "sandbox.log", f"http://127.0.0.1:{port}")
    sandbox.start()
    try:
        with httpx.Client(base_url=f"{sandbox.url}/aimlapi/v2", headers={"Authorization": "Bearer any"}) as http:
            asked = {
                "model": "minimax/music-cover",
                "prompt": "quiet jazz trio",
                "reference_audio_url": "https://a.example/a.mp3",
            }
            generation = http.post("/generate/audio", json=asked).json()["id"]

            def answer() -> dict[str, object]:
                found: dict[str, object] = http.get("/generate/audio", params={"generation_id": generation}).json()
                return found

            wait_until(lambda: "audio_file" in answer(), 20, "the generation is done")
            assert "http://sandbox.internal:9090/media/aimlapi/" in str(answer()["audio_file"])
    finally:
        sandbox.kill()


def test_a_file_without_certificates_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "none.pem"
    path.write_text("nothing")
    command = [sys.executable, "-m", "receiver", "sandbox", "--port", "0", "--ca-file", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "no certificates can be read from it" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_lines_to_export_are_for_the_service_that_is_named(tmp_path: Path) -> None:
    port, service = free_port(), "http://127.0.0.1:8099/hooks"
    arguments = ["sandbox", "--port", str(port), "--service-url", f"{service}/"]
    sandbox = Process(arguments, {}, tmp_path, tmp_path / "sandbox.log", f"http://127.0.0.1:{port}")
    sandbox.start()
    sandbox.kill()
    said = sandbox.words()
    assert f"export RECEIVER_PUBLIC_URL={service}\n" in said
    assert f"export RECEIVER_ALLOWED_PRIVATE_HOSTS=127.0.0.1:{port},127.0.0.1:8099\n" in said
    assert "`receiver serve --port 8099`" in said


def test_an_address_that_a_shell_would_act_on_is_refused(tmp_path: Path) -> None:
    for url in ("http://127.0.0.1:99999", "ftp://a", "http://$(id)", "127.0.0.1:8099", "http://"):
        command = [sys.executable, "-m", "receiver", "sandbox", "--port", "0", "--service-url", url]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (2, ""), url
