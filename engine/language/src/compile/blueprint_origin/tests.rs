use super::*;

#[test]
fn text_is_parsed_once_for_all_errors_in_its_components() {
    let text = "- {id: one, a: 1}\n- two: {a: 2}\n";
    let mut sources = Sources::default();
    let source = sources.add("stack.yaml", text);
    let span = |word: &str| {
        let start = text.find(word).unwrap();
        Span::new(source, start, start + word.len())
    };
    let (one, two) = (span("one"), span("two"));
    let all = || [one, two].into_iter();
    let mut parsed = ParsedSources::default();
    let of = |node: Option<&Node>| node.and_then(|node| node.entry("a")).map(|entry| entry.value.kind.clone());
    assert_eq!(of(parsed.component(one, all, &sources)), Some(NodeKind::Int(1)));
    // An empty `Sources` proves that the text is not read again.
    assert_eq!(of(parsed.component(two, all, &Sources::default())), Some(NodeKind::Int(2)));
}

#[test]
fn mapped_list_item_is_found_through_locals() {
    let blueprint = "locals:\n  written: ${{ component.?schema.orValue([]) }}\n  columns: ${{ locals.?written }}\nresources:\n  \
                     - {a: '${{ locals.columns.map(it, {\"name\": it.name}) }}', b: '${{ locals.columns.filter(it, it.x).map(it, it) }}'}\n";
    let descriptor = "id: one\nschema:\n  - {name: first, size: 1}\n  - {name: second, size: 2}\n";
    let mut sources = Sources::default();
    let (source, other) = (sources.add("blueprint.yaml", blueprint), sources.add("product.yaml", descriptor));
    let node = parse(other, descriptor, &Budget::default()).unwrap();
    let mut parsed = ParsedSources::default();
    let mut place_of_message = |message: &str, begin: &str, path: Option<&str>| {
        let start = blueprint.find(begin).unwrap();
        let end = start + blueprint[start..].find(" }}").unwrap();
        let traced = parsed.traced(Span::new(source, start, end), &sources);
        let path = path.map(|path| path.parse().unwrap());
        let at = cause(&traced, (path.as_ref(), message), None, &node, &sources).unwrap();
        &descriptor[at.start as usize..at.end as usize]
    };
    let mapped = "locals.columns.map";
    assert_eq!(place_of_message("`nothing` is not `first`", mapped, None), "first", "the message says which");
    let mut place_of = |begin: &str, path: Option<&str>| place_of_message("it is wrong", begin, path);
    assert_eq!(place_of(mapped, Some("a[1].name")), "second");
    assert_eq!(place_of(mapped, Some("a[1].type")), "{name: second, size: 2}", "the item has no such part");
    for path in [None, Some("a"), Some("a[7].name")] {
        assert_eq!(place_of(mapped, path), "schema");
    }
    assert_eq!(place_of("locals.columns.filter", Some("b[1].name")), "schema", "the filter hides the index");
}
