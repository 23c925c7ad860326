use super::*;

/// Prints the pieces: literals unchanged, expressions between `‹›`.
fn shown(text: &str) -> String {
    match split(text) {
        Ok(pieces) => pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(literal) => literal.clone(),
                Piece::Expression { text: inner, start } => {
                    assert!(text[*start..].starts_with(inner), "the start of `{inner}` in `{text}`");
                    format!("‹{inner}›")
                }
            })
            .collect(),
        Err(unclosed) => {
            format!("unclosed at {}{}", unclosed.start, if unclosed.is_in_text { " in a text" } else { "" })
        }
    }
}

#[test]
fn expression_ends_at_brace_depth_zero_outside_texts() {
    for (text, expected) in [
        ("", ""),
        ("plain", "plain"),
        ("${{ a }}", "‹a›"),
        ("${{a}}", "‹a›"),
        ("x-${{ a }}-${{ b }}-y", "x-‹a›-‹b›-y"),
        ("${{ {\"a\": {\"b\": 1}} }}", "‹{\"a\": {\"b\": 1}}›"),
        ("${{ {\"a\": {\"b\": 1}}}}", "‹{\"a\": {\"b\": 1}}›"),
        ("${{ {} }}}}", "‹{}›}}"),
        ("${{ '}}' }}", "‹'}}'›"),
        ("${{ \"}}\" + '{{' }}", "‹\"}}\" + '{{'›"),
        ("${{ 'it\\'s }}' }}", "‹'it\\'s }}'›"),
        ("${{ '''a ' }} b''' }}", "‹'''a ' }} b'''›"),
        ("${{ \"\"\"a \" }} b\"\"\" }}", "‹\"\"\"a \" }} b\"\"\"›"),
        ("${{ r'\\' }} }}", "‹r'\\'› }}"),
        ("${{ R\"\\\" }} }}", "‹R\"\\\"› }}"),
        ("${{ bar'\\' }}' }}", "‹bar'\\' }}'›"),
        ("${{ b'}}' }}", "‹b'}}'›"),
        ("$${{ a }}", "${{ a }}"),
        ("$$${{ a }}", "$${{ a }}"),
        ("$${{ a }} ${{ b }}", "${{ a }} ‹b›"),
        ("/${java.io.tmpdir}/x", "/${java.io.tmpdir}/x"),
        ("${ { a } }", "${ { a } }"),
        ("${{ é + '→' }} ü", "‹é + '→'› ü"),
        ("${{ }}", "‹›"),
        ("a ${{ b", "unclosed at 2"),
        ("${{ {a }}", "unclosed at 0"),
        ("${{ 'a }}", "unclosed at 0 in a text"),
        ("${{ '''a' }}", "unclosed at 0 in a text"),
        ("${{ a }} ${{", "unclosed at 9"),
        ("${{ 'a\\", "unclosed at 0 in a text"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}
