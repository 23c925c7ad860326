//! Draws a graph as SVG. Needs no other program.

use super::Drawing;
use crate::failure::Failure;
use layout::core::base::Orientation;
use layout::core::format::{ClipHandle, RenderBackend};
use layout::core::geometry::Point;
use layout::core::style::StyleAttr;
use layout::std_shapes::shapes::{Arrow, Element, ShapeKind};
use layout::topo::layout::VisualGraph;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Limit of boxes and of corners of long edges: about a second of layout.
const LARGEST: usize = 500;
/// Limit of edges.
const MOST_EDGES: usize = 2000;
/// Limit of boxes for the removal of crossings, the slowest part by far.
const UNCROSSED: usize = 120;
/// Approximate width of a character.
const CHARACTER: f64 = 7.5;
const BOX_HEIGHT: f64 = 30.0;
const MARGIN: f64 = 16.0;

/// Draws a graph with dependencies at the left.
///
/// # Errors
/// When the layout would take too long.
pub(super) fn draw(drawing: &Drawing) -> Result<String, Failure> {
    let levels = Levels::of(drawing);
    if levels.boxes > LARGEST || drawing.edges.len() > MOST_EDGES {
        let (nodes, edges) = (drawing.nodes.len(), drawing.edges.len());
        return Err(Failure::new(format!(
            "the graph is too large to be drawn as SVG here: {nodes} nodes, {edges} edges"
        ))
        .hint("draw it with Graphviz: `terrace graph FILE --format dot | dot -Tsvg`"));
    }
    let mut paper = Paper::default();
    // The layout fails for an empty graph.
    if !drawing.nodes.is_empty() {
        lay_out(drawing, &levels, &mut paper);
    }
    Ok(paper.finish())
}

fn lay_out(drawing: &Drawing, levels: &Levels<'_>, paper: &mut Paper) {
    let mut graph = VisualGraph::new(Orientation::LeftToRight);
    // Otherwise each added edge runs a check with exponential time in the worst case.
    graph.dag.set_validate(false);
    let boxes: BTreeMap<&str, _> = drawing
        .nodes
        .iter()
        .map(|name| {
            let width = name.chars().map(|_| CHARACTER).sum::<f64>() + MARGIN;
            let size = Point::new(width, BOX_HEIGHT);
            let element =
                Element::create(ShapeKind::new_box(name), StyleAttr::simple(), Orientation::LeftToRight, size);
            (name.as_str(), graph.add_node(element))
        })
        .collect();
    // In this order no edge leads on from the end of a new edge, so the search for loops ends at once. It takes
    // exponential time too.
    for (_, from, to) in levels.edges() {
        if let (Some(from), Some(to)) = (boxes.get(from), boxes.get(to)) {
            graph.add_edge(Arrow::simple("").reverse(), *to, *from);
        }
    }
    graph.do_it(false, levels.boxes > UNCROSSED, false, paper);
}

/// The column of each node: the largest number of edges on a path from it.
struct Levels<'a> {
    of: BTreeMap<&'a str, usize>,
    drawing: &'a Drawing,
    /// Number of nodes, and of corners where edges pass a column.
    boxes: usize,
}

impl<'a> Levels<'a> {
    fn of(drawing: &'a Drawing) -> Self {
        let mut dependents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
        for (from, to) in &drawing.edges {
            dependents.entry(to).or_default().push(from);
            *waiting.entry(from).or_default() += 1;
        }
        let mut of: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ready: Vec<&str> =
            drawing.nodes.iter().map(String::as_str).filter(|name| !waiting.contains_key(name)).collect();
        while let Some(name) = ready.pop() {
            let level = *of.entry(name).or_default();
            for dependent in dependents.get(name).into_iter().flatten() {
                let own = of.entry(dependent).or_default();
                *own = (*own).max(level + 1);
                if let Some(left) = waiting.get_mut(dependent) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push(dependent);
                    }
                }
            }
        }
        let level = |name: &str| of.get(name).copied().unwrap_or_default();
        let corners = drawing.edges.iter().map(|(from, to)| level(from).saturating_sub(level(to) + 1));
        let boxes = drawing.nodes.len() + corners.sum::<usize>();
        Self { of, drawing, boxes }
    }

    fn edges(&self) -> BTreeSet<(usize, &'a str, &'a str)> {
        let level = |name: &str| self.of.get(name).copied().unwrap_or_default();
        self.drawing.edges.iter().map(|(from, to)| (level(to), from.as_str(), to.as_str())).collect()
    }
}

/// The SVG document.
#[derive(Default)]
struct Paper {
    shapes: String,
    width: f64,
    height: f64,
}

impl Paper {
    fn reach(&mut self, point: Point) {
        self.width = self.width.max(point.x);
        self.height = self.height.max(point.y);
    }

    fn finish(self) -> String {
        let (width, height) = ((self.width + MARGIN).ceil(), (self.height + MARGIN).ceil());
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<defs><marker id="arrow" markerWidth="10" markerHeight="7" refX="10" refY="3.5" orient="auto-start-reverse"><path d="M 0 0 L 10 3.5 L 0 7 z"/></marker></defs>
<rect width="100%" height="100%" fill="white"/>
<g fill="none" stroke="black" font-family="monospace" font-size="12" text-anchor="middle">
{}</g>
</svg>
"#,
            self.shapes
        )
    }
}

// Writing to a string cannot fail.
impl RenderBackend for Paper {
    fn draw_rect(&mut self, xy: Point, size: Point, _: &StyleAttr, _: Option<String>, _: Option<ClipHandle>) {
        self.reach(Point::new(xy.x + size.x, xy.y + size.y));
        let Point { x, y } = xy;
        let _ = writeln!(self.shapes, r#"<rect x="{x:.1}" y="{y:.1}" width="{:.1}" height="{:.1}"/>"#, size.x, size.y);
    }

    fn draw_text(&mut self, xy: Point, text: &str, _: &StyleAttr) {
        // Sets the baseline: not all viewers of SVG support vertical centring.
        let (x, y) = (xy.x, xy.y + 4.0);
        let text = escaped(text);
        let _ = writeln!(self.shapes, r#"<text x="{x:.1}" y="{y:.1}" fill="black" stroke="none">{text}</text>"#);
    }

    fn draw_arrow(
        &mut self,
        path: &[(Point, Point)],
        _: bool,
        head: (bool, bool),
        _: &StyleAttr,
        _: Option<String>,
        _: &str,
    ) {
        let mut line = String::new();
        for (position, (first, second)) in path.iter().enumerate() {
            self.reach(*first);
            self.reach(*second);
            // The first item is a point and its control point. Each later item is a control point and its point.
            let letter = match position {
                0 => "M",
                1 => "",
                _ => "S",
            };
            let then = if position == 0 { " C" } else { "," };
            let _ = write!(
                line,
                "{letter} {:.1} {:.1}{then} {:.1} {:.1}{}",
                first.x,
                first.y,
                second.x,
                second.y,
                if position == 0 { "," } else { " " }
            );
        }
        let start = if head.0 { r#" marker-start="url(#arrow)""# } else { "" };
        let end = if head.1 { r#" marker-end="url(#arrow)""# } else { "" };
        let _ = writeln!(self.shapes, r#"<path d="{}"{start}{end}/>"#, line.trim_end());
    }

    // Boxes and arrows need none of these.
    fn draw_line(&mut self, _: Point, _: Point, _: &StyleAttr, _: Option<String>) {}

    fn draw_circle(&mut self, _: Point, _: Point, _: &StyleAttr, _: Option<String>) {}

    fn create_clip(&mut self, _: Point, _: Point, _: usize) -> ClipHandle {
        0
    }
}

/// Text of an element. Replaces characters that XML cannot contain.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(nodes: usize, edges: impl IntoIterator<Item = (usize, usize)>) -> Drawing {
        let name = |number: usize| format!("component/local_file.number_{number:04}");
        Drawing {
            nodes: (0..nodes).map(name).collect(),
            edges: edges.into_iter().map(|(from, to)| (name(from), name(to))).collect(),
        }
    }

    fn boxes(svg: &str) -> usize {
        svg.matches("<text ").count()
    }

    #[test]
    fn empty_graph_and_single_node_are_drawn() {
        assert_eq!(boxes(&draw(&Drawing::default()).unwrap()), 0);
        assert_eq!(boxes(&draw(&drawing(1, [])).unwrap()), 1);
    }

    #[test]
    fn arrow_points_at_the_dependency() {
        let svg = draw(&drawing(2, [(1, 0)])).unwrap();
        let left = |what: &str| {
            let (before, _) = svg.split_once(&format!(">{what}</text>")).unwrap();
            before.rsplit_once("x=\"").unwrap().1.split_once('"').unwrap().0.parse::<f64>().unwrap()
        };
        let (needed, dependent) = (left("component/local_file.number_0000"), left("component/local_file.number_0001"));
        assert!(needed < dependent, "{svg}");
        assert!(svg.contains("marker-start") && !svg.contains("marker-end"), "{svg}");
    }

    #[test]
    fn names_with_special_characters_are_escaped() {
        let names = ["shared/a[\"<b>&\"]", "tab\there", "é→日本 {a|b} \\", ""];
        let drawing = Drawing { nodes: names.map(str::to_owned).into(), edges: BTreeSet::new() };
        let svg = draw(&drawing).unwrap();
        assert_eq!(boxes(&svg), 4);
        for text in [">shared/a[\"&lt;b&gt;&amp;\"]</text>", ">tab\u{fffd}here</text>", ">é→日本 {a|b} \\</text>"]
        {
            assert!(svg.contains(text), "{text}: {svg}");
        }
    }

    #[test]
    fn graph_with_many_paths_is_drawn() {
        // There are 4 to the power of 49 paths: code that follows all of them would not end.
        let edges = (4..200).flat_map(|from| (0..4).map(move |column| (from, (from / 4 - 1) * 4 + column)));
        let svg = draw(&drawing(200, edges)).unwrap();
        assert_eq!((boxes(&svg), svg.matches("marker-start").count()), (200, 784));
    }

    #[test]
    fn large_graph_is_refused_with_a_hint_on_graphviz() {
        for large in [drawing(501, []), drawing(100, (1..100).flat_map(|from| (0..from).map(move |to| (from, to))))] {
            let failure = draw(&large).unwrap_err();
            assert!(failure.message.unwrap().starts_with("the graph is too large"));
            assert!(failure.hints[0].contains("terrace graph FILE --format dot | dot -Tsvg"));
        }
    }

    #[test]
    fn loop_is_drawn() {
        let svg = draw(&drawing(3, [(0, 1), (1, 2), (2, 0), (1, 1)])).unwrap();
        assert_eq!(boxes(&svg), 3);
    }
}
