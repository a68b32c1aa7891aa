"""Tables of fields."""

from levit.cli.output import print_fields


def test_fields_are_printed_one_per_line_without_markup(capsys):
    print_fields({"model": "a [b] c", "size": "12 MB"})
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == ["model  a [b] c", "size   12 MB"]


def test_control_characters_in_fields_are_escaped(capsys):
    print_fields({"class\x1b[2J": "cat\x1b]0;title\x07\nclasses 9"})
    assert capsys.readouterr().out.rstrip() == "class\\x1b[2J  cat\\x1b]0;title\\x07\\nclasses 9"
