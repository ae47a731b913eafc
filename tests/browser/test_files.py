"""Photos and files with a prompt, from a phone: made smaller, kept without a network, sent once, and inert."""

import base64
import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import NETWORK, PHONE, send_prompt

MAKE_PHOTO = """async () => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 4000, height: 3000 });
  const context = canvas.getContext("2d");
  for (let i = 0; i < 300; i++) {
    context.fillStyle = `hsl(${i * 37} 70% 50%)`;
    context.fillRect((i * 997) % 4000, (i * 613) % 3000, 300, 200);
  }
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  return btoa(Array.from(new Uint8Array(await blob.arrayBuffer()), (byte) => String.fromCharCode(byte)).join(""));
}"""
EXIF = b"\xff\xe1\x00\x24Exif\0\0MM\0*\0\0\0\x08GPSLatitude 49.4521!!!"
"""A segment of a JPEG with the data of a camera."""
SLOW = {"offline": False, "latency": 50, "downloadThroughput": 200_000, "uploadThroughput": 100_000}


def payload(name: str, media_type: str, data: bytes) -> Any:
    """Return a file that a user chooses."""
    return {"name": name, "mimeType": media_type, "buffer": data}


def photo_with_place(page: Page) -> bytes:
    data = base64.b64decode(page.evaluate(MAKE_PHOTO))
    return data[:2] + EXIF + data[2:]


def events(server: ScriptedServer, session: str, kind: str) -> list[dict[str, Any]]:
    lines = server.log(session).read_bytes().split(b"\n")[:-1]
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def test_a_photo_of_12_megapixels_is_sent_once_although_the_network_was_away(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="shell")
    user = new_user(**PHONE)
    user.expected = NETWORK
    page = user.open(session)
    photo = photo_with_place(page)
    page.locator(".camera input").set_input_files(payload("IMG 1.HEIC.jpg", "image/jpeg", photo))
    expect(page.locator(".chosen li")).to_contain_text("IMG 1.HEIC.jpg")
    user.context.set_offline(True)
    send_prompt(page, "cat uploads/*.jpg | wc -c")
    expect(page.locator("#outbox")).to_contain_text("Not sent: no network")
    expect(page.locator("#outbox p")).to_have_text("cat uploads/*.jpg | wc -c · IMG 1.HEIC.jpg")
    tools = user.context.new_cdp_session(page)
    tools.send("Network.enable")
    user.context.set_offline(False)
    tools.send("Network.emulateNetworkConditions", SLOW)
    expect(page.locator("#log .turn_end")).to_be_visible()
    expect(page.locator("#outbox li")).to_have_count(0)
    (file,) = events(server, session, "file")
    assert events(server, session, "user")[0]["files"] == [file["path"]] == ["uploads/IMG_1.HEIC.jpg"]
    arrived = (server.data / "workspaces" / session / file["path"]).read_bytes()
    assert (file["type"], len(arrived)) == ("image/jpeg", file["bytes"])
    assert len(arrived) < len(photo)
    assert b"GPS" not in arrived
    shown = page.locator("#log .file img")
    expect(shown).to_be_visible()
    assert shown.evaluate("async (image) => { await image.decode(); return image.naturalWidth; }") == 2000
    assert page.evaluate("Object.keys(localStorage).filter((key) => /^(files|outbox):/.test(key))") == []


def test_pasted_and_dropped_files_can_be_removed_before_they_are_sent(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.new_session(agent="shell")
    page = new_user().open(session)
    page.evaluate("""() => {
      const data = (name) => { const all = new DataTransfer(); all.items.add(new File(["text"], name)); return all; };
      const pasted = new ClipboardEvent("paste", { clipboardData: data("pasted.log"), bubbles: true });
      document.querySelector("#prompt").dispatchEvent(pasted);
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data("dropped.log"), bubbles: true }));
    }""")
    expect(page.locator(".chosen li")).to_have_count(2)
    page.get_by_role("button", name="Remove pasted.log").click()
    page.reload()
    expect(page.locator(".chosen li")).to_contain_text("dropped.log")
    send_prompt(page, "cat uploads/dropped.log")
    expect(page.locator("#log .turn_end")).to_be_visible()
    assert [event["name"] for event in events(server, session, "file")] == ["dropped.log"]


def test_files_are_sent_without_scripts(new_user: NewUser, server: ScriptedServer) -> None:
    user = new_user(java_script_enabled=False)
    page = user.page
    page.goto("/")
    page.locator("input[multiple]").set_input_files(
        payload("evil.svg", "image/svg+xml", b"<svg onload='alert(1)'/>")
    )
    page.select_option("select[name=agent]", "shell")
    page.fill("#prompt", "cat uploads/evil.svg")
    page.click("#send")
    session = re.findall("[0-9a-f-]{36}", page.url)[0]
    server.wait_for_end(session)
    assert [event["type"] for event in events(server, session, "file")] == ["text/plain"]
    page.reload()
    with page.expect_download() as download:
        page.locator("#log .file a[href^='?file=']").click()
    assert download.value.suggested_filename == "evil.svg"
    page.goto(f"/sessions/{session}/files")
    with page.expect_download() as download:
        page.get_by_role("link", name="uploads/evil.svg", exact=True).click()
    assert Path(download.value.path()).read_bytes() == b"<svg onload='alert(1)'/>"
