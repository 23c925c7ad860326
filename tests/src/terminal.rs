//! A command in a terminal of its own, and what is on the screen.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Error, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How high the screen is.
const ROWS: u16 = 24;

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command whose standard error is a terminal.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    master: File,
    screen: Screen,
    unread: Vec<u8>,
}

impl Terminal {
    /// Starts a command in a terminal of this width.
    ///
    /// # Panics
    /// When there is no terminal to be had, or the command cannot be started.
    #[must_use]
    pub fn start(command: Command, columns: u16) -> Self {
        let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Self::start_with(command, size, columns, false)
    }

    /// The same for a command whose results are seen there, too.
    ///
    /// # Panics
    /// As [`Terminal::start`].
    #[must_use]
    pub fn start_with_results(command: Command, columns: u16) -> Self {
        let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Self::start_with(command, size, columns, true)
    }

    /// The same in a terminal that knows its width alone. Lines that are too long for it are seen as they are.
    ///
    /// # Panics
    /// As [`Terminal::start`].
    #[must_use]
    pub fn start_without_height(command: Command, columns: u16) -> Self {
        let size = Winsize { ws_row: 0, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Self::start_with(command, size, u16::MAX, true)
    }

    fn start_with(mut command: Command, size: Winsize, columns: u16, has_results: bool) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal of ours");
        let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("its other end");
        tcsetwinsize(&slave, size).expect("a terminal with a size");
        let results = match has_results {
            true => slave.try_clone().expect("the terminal once more").into(),
            false => Stdio::null(),
        };
        command.env("TERM", "xterm").stdin(Stdio::null()).stdout(results).stderr(slave);
        let child = command.spawn().expect("the command starts");
        Self { child, master: File::from(master), screen: Screen::new(columns.into()), unread: Vec::new() }
    }

    /// Waits until a text is on the screen.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.screen.text().contains(text) {
            assert!(self.read(until), "`{text}` is not shown:\n{}", self.screen.text());
        }
    }

    /// Waits for the end; answers all that is on the screen then, and what went out of it at the top.
    ///
    /// # Panics
    /// When the command fails, or does not end.
    #[track_caller]
    #[must_use]
    pub fn finish(mut self) -> String {
        let until = Instant::now() + PATIENCE;
        while self.read(until) {}
        let status = self.child.wait().expect("the command ends");
        assert!(status.success(), "{status}:\n{}", self.screen.text());
        self.screen.text()
    }

    /// Shows what the command wrote; false when nobody can write any more.
    fn read(&mut self, until: Instant) -> bool {
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).expect("a minute at the most");
        let ready = poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&left)).expect("the terminal is open");
        assert!(ready > 0, "nothing came for {PATIENCE:?}:\n{}", self.screen.text());
        let mut bytes = [0; 4096];
        // When the last process that could write is gone, Linux answers an error.
        let Ok(count @ 1..) = self.master.read(&mut bytes) else { return false };
        self.unread.extend(bytes.iter().take(count));
        let whole = match std::str::from_utf8(&self.unread) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let rest = self.unread.split_off(whole);
        let text = String::from_utf8(std::mem::replace(&mut self.unread, rest)).map_err(Error::other);
        self.screen.show(&text.expect("what is valid so far"));
        true
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed leaves nobody waiting.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a terminal makes of what is written on it, as far as terrace goes: lines that wrap and scroll, a cursor that
/// moves, lines that are cleared.
#[derive(Debug)]
struct Screen {
    columns: usize,
    lines: Vec<Vec<char>>,
    row: usize,
    /// As wide as the screen after its last column was written: the next character wraps.
    column: usize,
    /// What came of a control sequence so far.
    control: Option<String>,
}

impl Screen {
    fn new(columns: usize) -> Self {
        Self { columns, lines: vec![Vec::new()], row: 0, column: 0, control: None }
    }

    fn text(&self) -> String {
        let line = |line: &Vec<char>| line.iter().collect::<String>().trim_end().to_owned();
        self.lines.iter().map(line).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    fn show(&mut self, text: &str) {
        for c in text.chars() {
            if let Some(mut control) = self.control.take() {
                control.push(c);
                if c == '[' || !c.is_ascii_alphabetic() {
                    self.control = Some(control);
                } else {
                    self.obey(&control);
                }
                continue;
            }
            match c {
                '\u{1b}' => self.control = Some(String::new()),
                '\r' => self.column = 0,
                '\n' => self.down(),
                c if c.is_control() => {}
                c => self.put(c),
            }
        }
    }

    fn put(&mut self, c: char) {
        if self.column >= self.columns {
            self.column = 0;
            self.down();
        }
        let column = self.column;
        if let Some(line) = self.lines.get_mut(self.row) {
            line.resize(line.len().max(column + 1), ' ');
            line.splice(column..=column, [c]);
        }
        self.column += 1;
    }

    fn down(&mut self) {
        self.row += 1;
        if self.row == self.lines.len() {
            self.lines.push(Vec::new());
        }
    }

    fn obey(&mut self, control: &str) {
        let words = control.trim_start_matches('[');
        let number = words.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse::<usize>().ok();
        let many = number.unwrap_or(1).max(1);
        let top = self.lines.len().saturating_sub(ROWS.into());
        match control.chars().last() {
            Some('A') => self.row = self.row.saturating_sub(many).max(top),
            Some('B') => self.row = (self.row + many).min(self.lines.len() - 1),
            Some('C') => self.column = (self.column + many).min(self.columns - 1),
            Some('D') => self.column = self.column.min(self.columns - 1).saturating_sub(many),
            Some('K') => {
                let from = if number == Some(2) { 0 } else { self.column };
                if let Some(line) = self.lines.get_mut(self.row) {
                    line.truncate(from);
                }
            }
            Some('J') => {
                let column = self.column;
                self.lines.truncate(self.row + 1);
                if let Some(line) = self.lines.get_mut(self.row) {
                    line.truncate(column);
                }
            }
            _ => {}
        }
    }
}
