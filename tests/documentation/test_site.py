"""The configuration of the documentation site, and its addresses."""

import tomllib

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def site() -> dict[str, object]:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def test_the_addresses_are_those_of_the_package(site):
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    assert site["site_url"] == f"{urls['Documentation']}/"
    assert site["repo_url"] == urls["Repository"]


def test_the_citation_names_the_repository():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    assert citation["repository-code"] == urls["Repository"]
    assert [reference["type"] for reference in citation["references"]] == ["conference-paper"]


def test_the_link_to_the_repository_makes_no_requests():
    """The theme requests stars and forks from GitHub for each element with this attribute."""
    assert "data-md-component" not in (ROOT / "docs" / "theme" / "partials" / "source.html").read_text(encoding="utf-8")


def test_the_site_is_published(site):
    workflow = (ROOT / ".github" / "workflows" / "docs.yml").read_text(encoding="utf-8")
    assert "make docs" in workflow
    assert "actions/deploy-pages" in workflow
    assert site["strict"] is True
