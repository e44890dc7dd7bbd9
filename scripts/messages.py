"""Keep the translations: gather the texts of pages and scripts, compile, check.

The English text is a message's key. Texts of templates and Python stand in
`locale/<language>/LC_MESSAGES/django.po`, those of scripts in
`frontend/src/messages/<language>.json`. The sentences that services put together stand in
`locale/<language>/sentences.json` (docs/adr/0119): those of the sources named here that end with a
full stop, and the arguments of `spoken`.

python scripts/messages.py extract    adds what is new (untranslated), drops what is unused
python scripts/messages.py compile    writes the .mo files that Django reads
python scripts/messages.py check      says what is missing, unused or wrong; exit 1 if anything is
"""

from __future__ import annotations

import argparse
import ast
import io
import itertools
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import django
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings as django_settings
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ("de", "fr", "es", "sw")
# As Intl.PluralRules and gettext count; "many" of French and Spanish is for millions.
PLURALS = {
    "de": (2, "n != 1"),
    "fr": (2, "n > 1"),
    "es": (2, "n != 1"),
    "sw": (2, "n != 1"),
}
PACKAGES = (
    "accounts",
    "archive",
    "dicom_viewer",
    "noctis_pro",
    "notifications",
    "orders",
    "reports",
    "worklist",
)
# What people read of services: patterns of the files.
SENTENCES = (
    "accounts/*.py",
    "archive/*.py",
    "dicom_viewer/*.py",
    "imaging/hanging.py",
    "dimse/association.py",
    "dimse/outbound.py",
    "fastapi_app/auth.py",
    "fastapi_app/errors.py",
    "fastapi_app/limits.py",
    "fastapi_app/services/dicom_processor.py",
    "imaging/aetitle.py",
    "imaging/header.py",
    "imaging/encapsulated.py",
    "imaging/hounsfield.py",
    "imaging/part10.py",
    "imaging/report.py",
    "imaging/pixels.py",
    "notifications/*.py",
    "orders/arrivals.py",
    "orders/forms.py",
    "orders/services.py",
    "orders/task_views.py",
    "orders/tasks.py",
    "orders/views.py",
    "reports/*.py",
    "worklist/models.py",
    "worklist/views/*.py",
)
# What only programs and operators read.
_NO_SENTENCES = frozenset(
    {
        *(f"{app}/admin.py" for app in ("accounts", "archive", "notifications", "reports")),
        "archive/anonymise.py",
        "archive/object_store.py",
        "worklist/views/offline.py",
        "dicom_viewer/hanging.py",
        "dicom_viewer/results.py",
        "dicom_viewer/services.py",
        "dicom_viewer/drafts.py",
        "dicom_viewer/contents.py",
        "dicom_viewer/derived.py",
        "accounts/people.py",
        "archive/registration.py",
        "archive/chores.py",
        "archive/reconstruction_result.py",
        "archive/remote_analyses.py",
        "archive/capture_process.py",
        "archive/analysis_results.py",
        "archive/backup.py",
        "archive/commitment.py",
        "archive/correlation.py",
        "archive/decode_worker.py",
        "archive/dicom_query.py",
        "archive/discs.py",
        "archive/films.py",
        "archive/framebytes.py",
        "archive/image_links.py",
        "archive/jobs.py",
        "archive/meters.py",
        "archive/orthanc.py",
        "archive/rendering.py",
        "archive/retrieval.py",
        "archive/seals.py",
        "archive/snapshot.py",
        "archive/sweep.py",
        "archive/verification.py",
        "dicom_viewer/bodies.py",
        "notifications/relay.py",
        "worklist/views/bodies.py",
        "worklist/views/fhir.py",
    }
)
_FEWEST_LETTERS = 4
_NOT_SAID = re.compile(
    r"(logger\.\w+|\w*gettext\w*|_|CommandError|DatabaseError|AssertionError|\w+\.add_argument)$"
)
_NOT_SAID_OF = frozenset({"help_text", "help", "description", "verbose_name"})
# A message: its text, or text and plural text.
Key = str | tuple[str, str]
# As `msgctxt` stands in compiled catalogues, between context and text.
_CONTEXT_END = "\x04"
_Keywords = dict[str, tuple[int | tuple[int, int] | tuple[int, str], ...] | None]
_PYTHON_KEYWORDS: _Keywords = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
}
_TEXT = r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
_SCRIPT_TEXT = re.compile(rf"(?<![\w.$])(?:t|msg)\(\s*{_TEXT}")
_SCRIPT_COUNT = re.compile(rf"(?<![\w.$])tn\(\s*{_TEXT},\s*{_TEXT}")
_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w*\}|%[sd]")
_MARKUP = re.compile(r"</?\w+[^>]*>|&\w+;")


def po_path(language: str) -> Path:
    """Return the catalogue of pages."""
    return ROOT / "locale" / language / "LC_MESSAGES" / "django.po"


def json_path(language: str) -> Path:
    """Return the catalogue of scripts."""
    return ROOT / "frontend" / "src" / "messages" / f"{language}.json"


def page_messages() -> set[Key]:
    """Return the messages of templates and Python."""
    if not django_settings.configured:
        django_settings.configure(USE_I18N=False)
        django.setup()
    found: set[Key] = set()
    for path in sorted((ROOT / "templates").rglob("*.html")):
        # What is not a message has become filler; lines lose their indent, which Python would read.
        text = templatize(path.read_text(), origin=str(path))
        found.update(_of_python("\n".join(line.strip() for line in text.splitlines())))
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text()
            if "gettext" in text:
                found.update(_of_python(text))
    return found


def script_messages() -> set[Key]:
    """Return the messages of the TypeScript sources.

    Babel's reader of JavaScript loses its way in expressions of template strings that have braces.
    The formatter writes each text in quotes, on one line: an expression finds them all.
    """
    found: set[Key] = set()
    for path in sorted((ROOT / "frontend" / "src").rglob("*.ts")):
        text = path.read_text()
        found.update(ast.literal_eval(call[1]) for call in _SCRIPT_TEXT.finditer(text))
        found.update(
            (ast.literal_eval(call[1]), ast.literal_eval(call[2]))
            for call in _SCRIPT_COUNT.finditer(text)
        )
    return found


def sentences_path(language: str) -> Path:
    """Return the catalogue of what services say."""
    return ROOT / "locale" / language / "sentences.json"


def sentences() -> set[str]:
    """Return the sentences of services: as they stand, `{name}` for each value in them."""
    found: set[str] = set()
    for pattern in SENTENCES:
        for path in sorted(ROOT.glob(pattern)):
            if path.relative_to(ROOT).as_posix() not in _NO_SENTENCES:
                found.update(_sentences_of(ast.parse(path.read_text())))
    return found


def _sentences_of(tree: ast.Module) -> Iterator[str]:
    passed_over: set[ast.AST] = set()
    for node in ast.walk(tree):
        if node in passed_over:
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            passed_over.add(node.value)  # a docstring
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if _NOT_SAID.match(called):
                passed_over.update(ast.walk(node))
            for keyword in node.keywords:
                if keyword.arg in _NOT_SAID_OF:
                    passed_over.update(ast.walk(keyword))
            if called.endswith("spoken") and node.args:
                yield from _forms(node.args[0])
                passed_over.update(ast.walk(node.args[0]))
        elif isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str)
        ):
            passed_over.update(ast.iter_child_nodes(node))
            texts = [text.strip() for text in _forms(node)]
            yield from (
                text
                for text in texts
                if re.match(r"[A-Z{\d].* .*\.$", text, re.DOTALL)
                and _letters(text) > _FEWEST_LETTERS
            )


def _letters(text: str) -> int:
    """Count the letters by which a sentence is recognised."""
    return len(re.findall(r"[^\W\d]", _PLACEHOLDER.sub("", text)))


def _forms(node: ast.expr, names: list[str] | None = None) -> list[str]:
    """Return what a literal may say: where it chooses between words, each of the choices."""
    if isinstance(node, ast.IfExp):
        return [*_forms(node.body, names), *_forms(node.orelse, names)]
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if not isinstance(node, ast.JoinedStr):
        return []
    names = [] if names is None else names
    parts = [_part(value, names) for value in node.values]
    return ["".join(choice) for choice in itertools.product(*parts)]


def _part(value: ast.expr, names: list[str]) -> list[str]:
    if not isinstance(value, ast.FormattedValue):
        return _forms(value)
    inner = value.value
    if isinstance(inner, ast.IfExp):
        texts = [*_forms(inner.body, names), *_forms(inner.orelse, names)]
        if len(texts) == 2:
            return texts
    name = _name(inner)
    number = sum(other.rstrip("0123456789") == name for other in names)
    names.append(f"{name}{number + 1}" if number else name)
    return [f"{{{names[-1]}}}"]


def _name(node: ast.expr) -> str:
    """Return what a value is called: the last word of how it is reached."""
    if isinstance(node, ast.Attribute):
        return node.attr.lower().lstrip("_")
    if isinstance(node, ast.Name):
        return node.id.lower().lstrip("_")
    children = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    if isinstance(node, ast.Call) and node.args:
        return _name(node.args[0])
    return _name(children[0]) if children else "value"


def read_sentences(language: str) -> dict[str, str]:
    """Return a catalogue of sentences."""
    path = sentences_path(language)
    found: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return found


def _of_python(text: str) -> Iterator[Key]:
    entries = extract_python(io.BytesIO(text.encode()), _PYTHON_KEYWORDS, [], {})
    yield from _keys(entries)


def _keys(entries: Iterable[tuple[Any, ...]]) -> Iterator[Key]:
    for _, function, texts, _ in entries:
        values = texts if isinstance(texts, (tuple, list)) else (texts,)
        if function in {"ngettext", "ngettext_lazy"}:
            one, other = values[:2]
            if isinstance(one, str) and isinstance(other, str):
                yield one, other
        elif function == "pgettext":
            yield _CONTEXT_END.join(values[:2])
        elif isinstance(values[0], str) and values[0]:
            yield values[0]


def read_pages(language: str) -> Catalog:
    """Return a catalogue of pages; an empty one where there is none yet."""
    path = po_path(language)
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def read_scripts(language: str) -> dict[str, str | dict[str, str]]:
    """Return a catalogue of scripts."""
    path = json_path(language)
    found: dict[str, str | dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}
    return found


def extract() -> None:
    """Write every catalogue anew: what is used, with the translations that were there."""
    pages, scripts = page_messages(), script_messages()
    for language in LANGUAGES:
        _write_pages(language, pages)
        before = read_scripts(language)
        after = {
            _id(key): before.get(_id(key), "" if isinstance(key, str) else {"one": "", "other": ""})
            for key in sorted(scripts, key=_id)
        }
        _write_json(json_path(language), after)
        known = read_sentences(language)
        _write_json(
            sentences_path(language), {text: known.get(text, "") for text in sorted(sentences())}
        )


def _write_json(path: Path, entries: Mapping[str, object]) -> None:
    path.write_text(json.dumps(entries, ensure_ascii=False, indent=2) + "\n")


def _write_pages(language: str, keys: set[Key]) -> None:
    before = read_pages(language)
    count, rule = PLURALS[language]
    after = Catalog(fuzzy=False)
    for key in keys:
        context, text = _parted(_id(key))
        old = before.get(text, context)
        empty = "" if isinstance(key, str) else ("",) * count
        same_kind = old is not None and isinstance(old.id, str) == isinstance(key, str)
        string = old.string if old is not None and same_kind else empty
        after.add(text if isinstance(key, str) else key, string, context=context)
    buffer = io.BytesIO()
    write_po(buffer, after, width=0, no_location=True, omit_header=True, sort_output=True)
    # No dates and no names: a catalogue changes when a message does.
    header = (
        'msgid ""\nmsgstr ""\n'
        '"Content-Type: text/plain; charset=utf-8\\n"\n'
        '"Content-Transfer-Encoding: 8bit\\n"\n'
        f'"Language: {language}\\n"\n'
        f'"Plural-Forms: nplurals={count}; plural=({rule});\\n"\n\n'
    )
    path = po_path(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + buffer.getvalue().decode().rstrip("\n") + "\n")


def compile_catalogues() -> None:
    """Write the compiled catalogues beside their sources."""
    for language in LANGUAGES:
        target = po_path(language).with_suffix(".mo")
        unfinished = target.with_suffix(f".{os.getpid()}")
        with unfinished.open("wb") as file:
            write_mo(file, read_pages(language))
        unfinished.replace(target)


def problems() -> list[str]:
    """Return what is wrong with the catalogues, a line each."""
    found: list[str] = []
    pages, scripts, of_services = page_messages(), script_messages(), sentences()
    found += [
        f"{text!r} has too few words of its own to be recognised."
        for text in sorted(of_services)
        if _letters(text) < _FEWEST_LETTERS and "{" in text
    ]
    for language in LANGUAGES:
        kept = read_sentences(language)
        found += _kept_with(f"{language} sentences", of_services, set(kept))
        for text in sorted(of_services & kept.keys()):
            found += _wrong(f"{language} sentences", text, [kept[text]])
        catalogue = read_pages(language)
        there = {_named(message): message for message in catalogue if message.id}
        found += _kept_with(f"{language} pages", {_id(key) for key in pages}, set(there))
        for key in pages:
            message = there.get(_id(key))
            if message is None:
                continue
            if message.fuzzy:
                found.append(f"{language} pages: {_id(key)!r} is fuzzy.")
            string = message.string or ""
            texts = [string] if isinstance(string, str) else list(string)
            found += _wrong(f"{language} pages", key, texts)
        entries = read_scripts(language)
        found += _kept_with(f"{language} scripts", {_id(key) for key in scripts}, set(entries))
        for key in scripts:
            entry = entries.get(_id(key))
            if entry is None:
                continue
            if isinstance(entry, str) != isinstance(key, str):
                found.append(f"{language} scripts: {_id(key)!r} counts in one place only.")
                continue
            if isinstance(entry, dict) and not {"one", "other"} <= set(entry):
                found.append(f"{language} scripts: {_id(key)!r} lacks a form.")
            texts = [entry] if isinstance(entry, str) else list(entry.values())
            found += _wrong(f"{language} scripts", key, texts)
    return found


def _kept_with(place: str, used: set[str], kept: set[str]) -> list[str]:
    missing = [f"{place}: {text!r} is missing." for text in sorted(used - kept)]
    return missing + [f"{place}: {text!r} is not used." for text in sorted(kept - used)]


def _wrong(place: str, key: Key, texts: list[str]) -> list[str]:
    sources = (key,) if isinstance(key, str) else key
    allowed = [_parts(source) for source in sources]
    found = []
    for text in texts:
        if not text:
            found.append(f"{place}: {_id(key)!r} is not translated.")
        elif _parts(text) not in allowed:
            found.append(f"{place}: {text!r} has other placeholders or markup than its source.")
        elif '"' in text and not any('"' in source for source in sources):
            found.append(f"{place}: {text!r} has a straight quotation mark, which ends attributes.")
    return found


def _parts(text: str) -> list[str]:
    """Return what a translation must have as well: placeholders and markup."""
    return sorted(_PLACEHOLDER.findall(text)) + sorted(_MARKUP.findall(text))


def _id(key: Key) -> str:
    return key if isinstance(key, str) else key[0]


def _parted(text: str) -> tuple[str | None, str]:
    context, found, rest = text.partition(_CONTEXT_END)
    return (context, rest) if found else (None, text)


def _named(message: Message) -> str:
    text = message.id if isinstance(message.id, str) else message.id[0]
    return f"{message.context}{_CONTEXT_END}{text}" if message.context else text


def main() -> int:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("action", choices=["extract", "compile", "check"])
    action = parser.parse_args().action
    if action == "extract":
        extract()
    elif action == "compile":
        compile_catalogues()
    else:
        wrong = problems()
        sys.stderr.writelines(f"{line}\n" for line in wrong)
        return 1 if wrong else 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
