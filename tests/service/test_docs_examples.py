"""The curl lines of the documents do what the documents show."""
import subprocess

import pytest
import yaml

from lib.console import Reader, examples
from lib.fastapi_app import config_for, running_app
from lib.paths import EXAMPLES, ROOT

ON_SAMPLES = ("README.md", "docs/http-api.md", "examples/README.md")
ON_FASTAPI = ("docs/tutorial.md", "examples/fastapi/README.md")


def examples_of(page):
    found = examples((ROOT / page).read_text(encoding="utf-8"))
    assert found, f"{page} has no examples"
    return found


def follow(page, stack, folder):
    reader = Reader(stack.client.base, folder)
    for command, shown in examples_of(page):
        try:
            reader.follow(command, shown)
        except AssertionError as error:
            raise AssertionError(f"{page}: {command}\n{error}") from None


@pytest.mark.parametrize("page", ON_SAMPLES)
def test_examples_on_the_sample_configuration(page, stack, tmp_path):
    subprocess.run(["convert", "-size", "640x480", "gradient:", "photo.png"], cwd=tmp_path, check=True, timeout=60)
    config = (EXAMPLES / "postback.yaml").read_text(encoding="utf-8").replace("examples/", f"{EXAMPLES}/")
    follow(page, stack.start(yaml.safe_load(config)), tmp_path)


@pytest.mark.parametrize("page", ON_FASTAPI)
def test_examples_in_front_of_an_application(page, stack, tmp_path):
    with running_app(tmp_path) as (port, _):
        follow(page, stack.start(yaml.safe_load(config_for(port))), tmp_path)


def test_no_page_with_examples_is_left_out():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")]
    with_examples = {str(page.relative_to(ROOT)) for page in pages if examples(page.read_text(encoding="utf-8"))}
    assert with_examples == {*ON_SAMPLES, *ON_FASTAPI}
