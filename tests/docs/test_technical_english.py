"""The prose of manuals and the rows made from questions, for experiments/technical_english."""

import pytest
from experiments.technical_english.html_pages import paragraphs_of_html
from experiments.technical_english.manual_pages import paragraphs_of_man, paragraphs_of_pod
from experiments.technical_english.packages import Package
from experiments.technical_english.pages import benchmark
from experiments.technical_english.prose import cleaned, is_prose
from experiments.technical_english.questions import answer_sentences, sentences, short_questions

PROSE = "The server reads its configuration when it starts, and again when it gets a signal."


def test_html_without_code_tables_and_navigation() -> None:
    page = f"""<html><head><title>t</title><style>p {{}}</style></head><body>
    <div class="sphinxsidebar"><p>Previous <div>topic</div></p></div>
    <h1>Files</h1><p>{PROSE}<p>One <code>a &lt; b</code> &amp; two.<pre>x = 1</pre>
    <table><tr><td>cell</td></tr></table><dl><dt>-v<dd>Says more.</dl>
    <div class="highlight-c"><div><pre>int x;</pre></div></div><ul><li>An item.</ul></body>"""
    assert paragraphs_of_html(page) == [
        PROSE,
        "One a < b & two.",
        "Says more.",
        "An item.",
    ]


def test_pod_without_verbatim_paragraphs() -> None:
    text = (
        "=head1 NAME\n\nUse B<-v> or C<< a->b >> as in L<perlre|perl>.\n\n  code\n\n=cut\n\nsub x;"
    )
    assert paragraphs_of_pod(text) == ["Use -v or a->b as in perlre."]


def test_manual_page_without_synopsis_and_code() -> None:
    text = (
        '.TH X 1\n.SH SYNOPSIS\nx [-v]\n.SH DESCRIPTION\nPrints\n.BR mmap (2)\nnow \\(em "once".\n'
        ".nf\ncode\n.fi\n.TP\n.B \\-v\nSays more.\n.SH SEE ALSO\ny"
    )
    assert paragraphs_of_man(text) == ['Prints mmap(2) now  -  "once".', "Says more."]


@pytest.mark.parametrize(
    "line",
    [
        "Too short to be kept.",
        "int main(void) { return f(a[0], b->c) + 1; } /* the end of the program is in this */.",
        "Permission is granted to copy, distribute and/or modify this document as you like.",
        "Der Server liest seine Konfiguration beim Start, und noch einmal bei einem Signal.",
        "Chapter 1 is about the server, Chapter 2 is about the client and how to start it",
    ],
)
def test_no_prose(line: str) -> None:
    assert not is_prose(line)


def test_prose() -> None:
    assert is_prose(cleaned(PROSE.replace(" ", "\n", 3) + "¶"))


def test_pages_of_a_package() -> None:
    package = Package("a-doc", "MIT", but=r"/old/")
    paths = (
        "usr/share/doc/a/html/index.html",
        "usr/share/man/man3/a.3.gz",
        "usr/share/doc/a/x.pod",
    )
    assert all(map(package.has, paths))
    others = ("html/genindex.html", "html/de/index.html", "html/old/a.html", "a.png", "man/a.gz")
    assert not any(map(package.has, others))


CONTEXT = "Dr. Li came in 1999. She left in May! Then it was quiet. Nobody knew why."
ASKED = {
    "id": "1",
    "question": "When did she leave?",
    "answers": [{"text": "May", "answer_start": 33}],
}


def test_sentences_cover_the_text() -> None:
    spans = sentences(CONTEXT)
    found = [CONTEXT[begin:end] for begin, end in spans]
    assert found[-3:] == ["She left in May!", "Then it was quiet.", "Nobody knew why."]


@pytest.mark.parametrize("number", range(8))
def test_the_answer_of_a_short_context_is_where_it_says(number: int) -> None:
    asked = {**ASKED, "id": str(number)}
    (row,) = short_questions(
        {"context": f"{'Word ' * 70}. {CONTEXT}", "qas": [shifted(asked, 352)]}
    )
    (text,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
    assert row["context"][start : start + len(text)] == text == "May"
    assert len(row["context"].split()) <= 60


def shifted(asked: dict, by: int) -> dict:
    answers = [
        {**answer, "answer_start": answer["answer_start"] + by} for answer in asked["answers"]
    ]
    return {**asked, "answers": answers}


def test_half_of_the_sentences_have_the_answer() -> None:
    asked = [{**ASKED, "id": str(number)} for number in range(200)]
    rows = list(answer_sentences({"context": CONTEXT, "qas": asked}))
    answered = [row["sentence"] for row in rows if row["label"] == "answered"]
    assert set(answered) == {"She left in May!"}
    assert 70 < len(answered) < 130
    assert all("May" not in row["sentence"] for row in rows if row["label"] == "unanswered")


def test_differences_are_those_of_the_own_encoder() -> None:
    def measured(label: str, mean: float) -> dict:
        tasks = [{"task": "sentiment", "metric": "test/accuracy", "mean": mean, "deviation": 1.0}]
        return {"label": label, "tasks": tasks, "average": None}

    table = benchmark(
        {
            "benchmark": {
                "checkpoints": [
                    measured("own", 60),
                    measured("scratch", 50),
                    measured("minilm", 70),
                ],
                "comparison": {
                    "differences": [
                        {"label": label, "tasks": {"sentiment": {"mean": mean, "verdict": verdict}}}
                        for label, mean, verdict in (
                            ("scratch", -10.0, "worse"),
                            ("minilm", 10.0, "undecided"),
                        )
                    ]
                },
            },
            "rows": {"sentiment": {"train": 8000, "test": 1600}},
            "baselines": {"sentiment": {"the commonest class": 50.5}},
        }
    )
    assert table.splitlines()[2] == (
        "| sentiment of a sentence | 8,000 + 1,600 | accuracy | 50.5 the commonest class "
        "| 50.0 ± 1.0 | 60.0 ± 1.0 | 70.0 ± 1.0 | +10.0, better | -10.0, undecided |"
    )
