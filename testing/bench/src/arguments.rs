//! Words of the command line, taken one by one; what is left over is refused.

use std::str::FromStr;

pub struct Arguments(Vec<String>);

impl Arguments {
    pub fn new(words: impl IntoIterator<Item = String>) -> Arguments {
        Arguments(words.into_iter().collect())
    }

    /// Whether a flag without a value is there.
    pub fn flag(&mut self, name: &str) -> bool {
        let found = self.0.iter().position(|word| word == name);
        found.map(|at| self.0.remove(at)).is_some()
    }

    /// The value of a flag, each time that it is there.
    pub fn values<T: FromStr>(&mut self, name: &str) -> Result<Vec<T>, String> {
        let mut values = Vec::new();
        while let Some(at) = self.0.iter().position(|word| word == name) {
            if at + 1 >= self.0.len() {
                return Err(format!("{name} needs a value"));
            }
            let value = self.0.remove(at + 1);
            self.0.remove(at);
            values.push(value.parse().map_err(|_| format!("{name}: '{value}' is not understood"))?);
        }
        Ok(values)
    }

    pub fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        Ok(self.values(name)?.pop())
    }

    /// A number from 1, where it is named.
    pub fn number_if_any(&mut self, name: &str) -> Result<Option<usize>, String> {
        match self.value(name)? {
            Some(0) => Err(format!("{name} is a number from 1")),
            number => Ok(number),
        }
    }

    /// A number from 1, or what it is by default.
    pub fn number(&mut self, name: &str, default: usize) -> Result<usize, String> {
        self.number_if_any(name).map(|number| number.unwrap_or(default))
    }

    /// What is left, where that is names of files.
    pub fn rest(self) -> Vec<String> {
        self.0
    }

    pub fn finish(self) -> Result<(), String> {
        self.0.first().map_or(Ok(()), |word| Err(format!("'{word}' is not understood")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_values() {
        let words = "--json --runs 3 --shape a --shape b --agents 0 --odd".split(' ').map(String::from);
        let mut arguments = Arguments::new(words);
        assert!(arguments.flag("--json") && !arguments.flag("--json"));
        assert_eq!(arguments.number("--runs", 1), Ok(3));
        assert_eq!(arguments.number("--rounds", 7), Ok(7));
        assert_eq!(arguments.values::<String>("--shape").unwrap(), ["a", "b"]);
        assert!(arguments.number("--agents", 1).unwrap_err().contains("from 1"));
        assert!(arguments.finish().unwrap_err().contains("--odd"));
        assert!(Arguments::new(["--runs".to_string()]).number("--runs", 1).is_err());
    }
}
