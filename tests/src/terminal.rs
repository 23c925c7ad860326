//! A command in a pseudoterminal, and the content of its screen.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Error, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Height of the screen.
const ROWS: u16 = 24;

/// Time limit of waits.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A command with a terminal as standard error.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    master: File,
    screen: Screen,
    unread: Vec<u8>,
}

impl Terminal {
    /// Starts a command in a terminal with this width.
    ///
    /// # Panics
    /// When no terminal is available, or the command cannot be started.
    #[must_use]
    pub fn start(command: Command, columns: u16) -> Self {
        let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Self::start_with(command, size, columns, false)
    }

    /// Starts a command whose results go to the terminal too.
    ///
    /// # Panics
    /// As [`Terminal::start`].
    #[must_use]
    pub fn start_with_results(command: Command, columns: u16) -> Self {
        let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Self::start_with(command, size, columns, true)
    }

    /// Starts a command in a terminal without a known height. Long lines do not wrap on the screen.
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
    /// When it does not appear.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + TIME_LIMIT;
        while !self.screen.text().contains(text) {
            assert!(self.read(until), "`{text}` is not shown:\n{}", self.screen.text());
        }
    }

    /// Waits for the end of the command. Returns everything on the screen, including lines that scrolled out.
    ///
    /// # Panics
    /// When the command fails, or does not end.
    #[track_caller]
    #[must_use]
    pub fn finish(mut self) -> String {
        let until = Instant::now() + TIME_LIMIT;
        while self.read(until) {}
        let status = self.child.wait().expect("the command ends");
        assert!(status.success(), "{status}:\n{}", self.screen.text());
        self.screen.text()
    }

    /// Shows new output of the command; false once no process can write.
    fn read(&mut self, until: Instant) -> bool {
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).expect("a minute at the most");
        let ready = poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&left)).expect("the terminal is open");
        assert!(ready > 0, "nothing came for {TIME_LIMIT:?}:\n{}", self.screen.text());
        let mut bytes = [0; 4096];
        // Linux returns an error once the last writer is gone.
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
        // Ends the command after a failed test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A terminal's screen, as far as terrace needs it: lines that wrap and scroll, cursor movements, cleared lines.
#[derive(Debug)]
struct Screen {
    columns: usize,
    lines: Vec<Vec<char>>,
    row: usize,
    /// Equal to the width after a character in the last column: the next character wraps.
    column: usize,
    /// The unfinished control sequence.
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
                    self.execute(&control);
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

    fn execute(&mut self, control: &str) {
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
