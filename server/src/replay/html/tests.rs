use super::super::report::tests::sample;
use super::*;

#[test]
fn the_page_fetches_nothing_and_its_tags_balance() {
    let page = render(&sample());
    for foreign in ["http://", "https://", "src=", "@import", "url(", "<script", "<link"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for tag in ["svg", "g", "table", "tr", "td", "section", "div", "ul", "li", "path", "text", "title"] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        let closed = page.matches(&format!("</{tag}>")).count();
        let alone = if tag == "path" { page.matches("<path").count() - closed } else { 0 };
        assert_eq!(opened - alone, closed, "{tag}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf\""), "a coordinate is not a number");
    assert!(page.contains("verdict ok"));
}

#[test]
fn no_text_of_the_report_becomes_markup() {
    let mut report = sample();
    let evil = "</script><img onerror=x>&\"'\u{0}";
    report.parameters.trips = evil.to_owned();
    report.parameters.store = evil.to_owned();
    report.parameters.version = evil.to_owned();
    report.parameters.faults = evil.to_owned();
    report.audit_violations = 1;
    report.audit_findings = vec![evil.to_owned()];
    report.cancelled_by_reason.insert(evil.to_owned(), 4);
    report.expired_by_reason.insert(evil.to_owned(), 4);
    report.faults_met.insert(evil.to_owned(), 4);
    let page = render(&report);
    assert!(!page.contains("<img") && !page.contains('\u{0}'));
    assert!(page.matches("&lt;/script&gt;&lt;img onerror=x&gt;&amp;&quot;&#39;").count() >= 8);
    assert!(page.contains("verdict bad"));
}

#[test]
fn a_report_of_nothing_is_a_page() {
    let parameters = sample().parameters;
    let report = super::super::report::Recorder::new(parameters).finish(std::time::Duration::ZERO);
    let page = render(&report);
    assert!(page.contains("The file held no trip") && !page.contains("NaN"));
}

#[test]
fn scale_steps_are_round() {
    for (most, step) in [(1.0, 1.0), (1.9, 1.0), (2.0, 2.0), (49.0, 20.0), (9_400.0, 5_000.0), (0.0, 1.0)] {
        assert_eq!(round_step(most), step);
    }
}
