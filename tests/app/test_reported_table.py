"""The table of the paper's numbers and ours."""

from lab.app.reported_table import table
from lab.studies import SparseOT
from lab.studies.contract.reported import Line, Reported, flaw, lines


def test_a_row_has_both_numbers_with_their_settings(monkeypatch):
    monkeypatch.delenv("LAB_RESULTS")
    html = table(lines(SparseOT))
    assert html.count('<th scope="row">') == len(SparseOT.reported)
    assert "<b>0.0026</b>" in html  # of the authors' log
    assert "64 colors each" in html
    assert "Our numbers are precomputed (lab " in html


def test_without_stored_numbers_the_table_says_so():
    assert all(line.ours == "not computed here" for line in lines(SparseOT))  # the tests leave out what ships


def test_text_of_a_study_is_escaped():
    html = table([Line("a < b", "Table <1>", "1", "x", "2", "y", "<script>", "")])
    assert "<script>" not in html
    assert "a &lt; b" in html


def test_a_row_without_a_source_of_our_number_is_refused():
    class Other(SparseOT):
        slug = "other"

    def refused(**fields):
        Other.reported = (Reported("q", "Table 1", 1.0, "theirs", "ours", **fields),)
        return flaw(Other)

    assert refused() == "has the quantity q with no number of ours and no note that says why"
    assert refused(ours="value", claim="lp") == "has the quantity q with both ours and claim"
    assert refused(ours="nothing").endswith("with nothing, which is no number among its results")
    assert refused(claim="nothing").endswith("with nothing, which is none of its claims")
    assert refused(ours="value") == ""
