from docs import commands_tables, generate
from scaler.cli import options, settings
from scaler.cli.commands import COMMANDS

TEXT = commands_tables.PAGE.read_text(encoding="utf-8")


def test_the_page_of_commands_is_what_the_commands_say():
    assert generate.render(TEXT, commands_tables.PARTS) == TEXT, "run: make docs"


def test_every_command_is_on_the_page():
    assert [name for name in COMMANDS if f"`scaler {name} " not in TEXT] == []


def test_every_option_is_on_the_page():
    known = [parameter for section in settings.SECTIONS for parameter in options.parameters(section)]
    words = {word for one in known if one.param_type_name == "option" for word in (*one.opts, *one.secondary_opts)}
    told_by_parents_alone = {"--parent-fd"}
    assert [word for word in words - told_by_parents_alone if f"`{word}" not in TEXT] == []
