//! Content negotiation (`Accept`, RFC 9110 §12.5.1).

use axum::http::{HeaderMap, header};

/// The media type that the caller prefers; the first one without a preference, or without a match.
///
/// At equal weights, an exact name precedes a range, then the earlier entry precedes.
pub(super) fn preferred<'f>(headers: &HeaderMap, forms: &[&'f str]) -> &'f str {
    let lines = headers.get_all(header::ACCEPT).into_iter().filter_map(|line| line.to_str().ok());
    let ranges: Vec<Range<'_>> = lines.flat_map(|line| line.split(',')).map(Range::of).collect();
    let mut best: Option<(&'f str, Rank)> = None;
    for form in forms {
        let matching = ranges.iter().enumerate().filter_map(|(at, range)| Some((range.specificity(form)?, at, range)));
        // The most specific range decides, even if it excludes the media type.
        let Some((specificity, at, range)) =
            matching.max_by_key(|(specificity, at, _)| (*specificity, usize::MAX - at))
        else {
            continue;
        };
        let rank = (range.weight, specificity, usize::MAX - at);
        if range.weight > 0 && best.is_none_or(|(_, best)| rank > best) {
            best = Some((form, rank));
        }
    }
    best.map(|(form, _)| form).or(forms.first().copied()).unwrap_or_default()
}

/// The preference for a media type: by weight, by specificity, and by position.
type Rank = (u16, u8, usize);

/// A media range with its weight in thousandths.
struct Range<'a> {
    form: &'a str,
    weight: u16,
}

impl<'a> Range<'a> {
    fn of(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let form = parts.next().unwrap_or_default();
        let weight = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("q"));
        Self { form, weight: weight.map_or(1_000, |(_, value)| thousandths(value)) }
    }

    /// The specificity of the match; `None` without a match.
    fn specificity(&self, form: &str) -> Option<u8> {
        let kind = |form: &'_ str| form.split('/').next().unwrap_or_default().to_ascii_lowercase();
        match self.form {
            same if same.eq_ignore_ascii_case(form) => Some(2),
            "*/*" => Some(0),
            range if range.ends_with("/*") && kind(range) == kind(form) => Some(1),
            _ => None,
        }
    }
}

/// Parses a weight such as `0.125`; an invalid one counts as 1.
fn thousandths(text: &str) -> u16 {
    let (whole, rest) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    format!("{whole}{rest:0<3.3}").parse().unwrap_or(1_000).min(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[track_caller]
    fn check(accept: &[&str], expected: &str) {
        let lines = accept.iter().map(|line| (header::ACCEPT, HeaderValue::from_str(line).unwrap()));
        let mut headers = HeaderMap::new();
        lines.for_each(|(name, line)| {
            headers.append(name, line);
        });
        let forms = ["application/json", "text/plain", "text/markdown"];
        assert_eq!(preferred(&headers, &forms), expected, "{accept:?}");
    }

    #[test]
    fn preferred_media_type_is_chosen() {
        check(&[], "application/json");
        check(&[""], "application/json");
        check(&["image/png"], "application/json");
        check(&["*/*"], "application/json");
        check(&["text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8"], "application/json");
        check(&["text/markdown"], "text/markdown");
        check(&["TEXT/Markdown; charset=utf-8"], "text/markdown");
        check(&["text/*"], "text/plain");
        check(&["text/markdown;q=0.1, application/json"], "application/json");
        check(&["text/markdown;q=0.1", "text/plain; Q=0.75"], "text/plain");
        check(&["text/markdown, application/json"], "text/markdown");
        check(&["*/*, text/markdown"], "text/markdown");
        check(&["text/*, text/plain;q=0"], "text/markdown");
        check(&["application/json;q=0"], "application/json");
        check(&["text/plain;q=nonsense, text/markdown;q=0.999"], "text/plain");
    }
}
