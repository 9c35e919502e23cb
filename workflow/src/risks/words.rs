//! The words of a class name.

/// In lower case with one space between them: `LoadImageFromURL (mtb)` is `load image from url mtb`.
pub(super) fn words(class: &str) -> String {
    // Longer than any name.
    const LONGEST: usize = 200;
    let letters: Vec<char> = class.chars().take(LONGEST).collect();
    let mut words = String::new();
    for (index, one) in letters.iter().enumerate() {
        if !one.is_alphanumeric() {
            words.push(' ');
            continue;
        }
        let before = index.checked_sub(1).and_then(|index| letters.get(index));
        let after = letters.get(index + 1);
        let begins = one.is_uppercase()
            && before.is_some_and(|before| {
                !before.is_uppercase() || after.is_some_and(|after| after.is_lowercase())
            });
        if begins {
            words.push(' ');
        }
        words.extend(one.to_lowercase());
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        for (class, expected) in [
            ("LoadImageFromURL (mtb)", "load image from url mtb"),
            ("URLLoader", "url loader"),
            ("VHS_LoadVideoPath", "vhs load video path"),
            ("OpenAIChatNode", "open ai chat node"),
            ("LoadImageS3", "load image s3"),
            ("写Python代码", "写 python代码"),
            ("", ""),
        ] {
            assert_eq!(words(class), expected);
        }
    }
}
