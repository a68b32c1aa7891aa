"""Take the pictures of the page of `levit serve`: docs/images/page.jpg and docs/images/page-phone.jpg.

python docs/page_pictures.py     needs Chromium (.ci/install_packages) and pip install playwright
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
PHOTOS = [ROOT / "examples" / f"{name}.jpg" for name in ("rocket", "cat", "espresso")]
TIMEOUT = 300_000  # milliseconds


def main() -> None:
    """Serve the embedded model, and take one picture of a desktop and one of a phone."""
    command = [sys.executable, "-m", "levit", "serve", "--port", "0", "--json"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service,  # noqa: S603
        sync_playwright() as playwright,
    ):
        try:
            address = json.loads(service.stdout.readline())["url"] if service.stdout else ""
            executable = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
            take_picture(browser, address, IMAGES / "page.jpg", width=1440, height=1000, scheme="light")
            take_picture(browser, address, IMAGES / "page-phone.jpg", width=390, height=844, scheme="dark")
            browser.close()
        finally:
            service.kill()


def take_picture(browser: Browser, address: str, file: Path, *, width: int, height: int, scheme: str) -> None:
    """Classify the example photos, show the heat map of the last one, and take a picture of the whole page."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    page.set_default_timeout(TIMEOUT)
    page.goto(address)
    for photo in PHOTOS:
        page.set_input_files("#files", str(photo))
        page.locator("#entries .waiting").wait_for(state="detached")
    page.click("#explain")
    page.wait_for_selector("#heat", state="visible")
    page.wait_for_timeout(1000)  # the bars grow
    page.screenshot(path=file, full_page=True, type="jpeg", quality=88)
    page.close()


if __name__ == "__main__":
    main()
