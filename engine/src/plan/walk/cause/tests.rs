use super::*;

#[test]
fn a_text_is_read_once_for_all_mistakes_in_its_components() {
    let text = "- {id: one, a: 1}\n- two: {a: 2}\n";
    let mut sources = Sources::default();
    let source = sources.add("stack.yaml", text);
    let span = |word: &str| {
        let start = text.find(word).unwrap();
        Span::new(source, start, start + word.len())
    };
    let (one, two) = (span("one"), span("two"));
    let all = || [one, two].into_iter();
    let mut written = Written::default();
    let of = |node: Option<&Node>| node.and_then(|node| node.entry("a")).map(|entry| entry.value.kind.clone());
    assert_eq!(of(written.component(one, all, &sources)), Some(NodeKind::Int(1)));
    // The text is not asked for again.
    assert_eq!(of(written.component(two, all, &Sources::default())), Some(NodeKind::Int(2)));
}
