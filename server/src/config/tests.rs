use super::*;

fn load(file: Option<&str>, environment: &[(&str, &str)]) -> Result<Config, String> {
    let path = file.map(|text| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    });
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(path.as_ref().map(tempfile::NamedTempFile::path), environment, &Overrides::default())
        .map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_a_configuration() {
    let config = load(None, &[]).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:3000");
    assert!(load(Some(DEFAULT), &[]).is_ok());
}

#[test]
fn layers_override_each_other() {
    let config =
        load(Some("[jobs]\ntimeout_s = 5\nmax_queued = 2"), &[("COMFYPORT_JOBS_TIMEOUT_S", "9")]).unwrap();
    assert_eq!((config.jobs.timeout_s, config.jobs.max_queued), (9, 2));
}

#[test]
fn faults_name_the_key_and_the_line() {
    for (file, expected) in [
        (
            "[jobs]\ntimeout = 5",
            "line 2: in [jobs], there is no setting `timeout`; did you mean `timeout_s`?",
        ),
        ("[job]\n", "line 1: there is no setting `job`; did you mean `jobs`?"),
        ("[jobs]\n\ntimeout_s = \"5\"", "line 3: `jobs.timeout_s` must be a integer"),
        ("[server]\nlisten = \"nowhere\"", "line 2: `server.listen`"),
        ("[jobs]\ntimeout_s = 0", "`jobs.timeout_s` must be at least 1"),
        ("[comfyui]\nurl = \"ftp://x\"", "must start with http"),
        ("jobs = 1", "line 1: `jobs` is a section"),
    ] {
        let error = load(Some(file), &[]).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let error = load(None, &[("COMFYPORT_MEDIA_MAX_SIDE", "many")]).unwrap_err();
    assert!(error.contains("COMFYPORT_MEDIA_MAX_SIDE"), "{error}");
}

#[test]
fn engines_are_tables_or_addresses() {
    let only = &load(None, &[]).unwrap().engines()[0];
    assert_eq!((only.name().as_str(), only.stall_timeout_s), ("comfyui", Some(600)));
    let file = "[comfyui]\nstall_timeout_s = 60\nheaders = { a = \"b\" }\n[[engine]]\nname = \"big\"\n\
                url = \"http://a:1\"\nweight = 2.5\ntags = [\"h100\"]\nconcurrency = 3\n\
                [[engine]]\nurl = \"https://b\"\nstall_timeout_s = 9\n";
    let engines = load(Some(file), &[]).unwrap().engines();
    assert_eq!(engines.iter().map(EngineTable::name).collect::<Vec<_>>(), ["big", "b:443"]);
    assert_eq!(engines.iter().map(|engine| engine.stall_timeout_s).collect::<Vec<_>>(), [Some(60), Some(9)]);
    assert!(engines.iter().all(|engine| engine.headers.is_empty()), "headers are for one box alone");
    // What was typed last wins.
    let urls = [("COMFYPORT_COMFYUI_URL", "http://c:1, http://d:2")];
    let engines = load(Some(file), &urls).unwrap().engines();
    assert_eq!(engines.iter().map(EngineTable::name).collect::<Vec<_>>(), ["c:1", "d:2"]);
    assert!(engines.iter().all(|engine| engine.headers.len() == 1));
    let shown = load(Some(file), &[]).unwrap().shown();
    assert!(
        shown.contains("[[engine]]")
            && load(Some(&shown.replace("url = \"http://127.0.0.1:8188/\"\n", "")), &[]).is_ok(),
        "{shown}"
    );
}

#[test]
fn faults_of_engines_name_the_line() {
    for (file, expected) in [
        (
            "[[engine]]\nurl = \"http://a\"\nwheight = 1",
            "line 3: in [[engine]], there is no setting `wheight`; did you mean `weight`?",
        ),
        (
            "[[engine]]\nurl = \"http://a\"\n[[engine]]\nurl = \"http://b\"\nweight = \"x\"",
            "line 5: `engine.weight`",
        ),
        ("[[engine]]\nname = \"a\"", "line 1: this [[engine]] has no `url`"),
        (
            "[[engine]]\nurl = \"http://a\"\n\n[[engine]]\nurl = \"http://a\"\nname = \"b\"",
            "line 4: there is an engine at http://a/ already",
        ),
        (
            "[[engine]]\nurl = \"http://a\"\n\n[[engine]]\nurl = \"http://b\"\nname = \"a:80\"",
            "line 4: there is an engine `a:80` already",
        ),
        ("[[engine]]\nurl = \"http://a\"\nname = \"a/b\"", "line 1: `name` must have"),
        ("[[engine]]\nurl = \"http://a\"\nconcurrency = 0", "line 1: `concurrency` must be at least 1"),
        ("[[engine]]\nurl = \"http://a\"\nweight = nan", "`weight` must be a number above 0"),
        ("[[engine]]\nurl = \"http://u:p@a\"", "use `headers`"),
        ("[engine]\nurl = \"http://a\"", "line 1: `engine` is a list of tables: write `[[engine]]`"),
        (
            "[comfyui]\nurl = \"http://a\"\n[[engine]]\nurl = \"http://b\"",
            "line 2: `comfyui.url` has no effect beside [[engine]]",
        ),
    ] {
        let error = load(Some(file), &[]).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let error = load(None, &[("COMFYPORT_COMFYUI_URL", "http://a,nowhere")]).unwrap_err();
    assert!(error.contains("COMFYPORT_COMFYUI_URL: `nowhere`"), "{error}");
}

#[test]
fn secrets_are_masked() {
    let engine = "[[engine]]\nurl = \"http://a\"\nheaders = { authorization = \"Bearer sesame\" }";
    let config = load(Some(engine), &[]).unwrap();
    assert_eq!(config.engines()[0].headers["authorization"].expose(), "Bearer sesame");
    assert!(!config.shown().contains("sesame") && !format!("{config:?}").contains("sesame"));
    let config = load(Some("[comfyui]\nheaders = { authorization = \"Bearer sesame\" }"), &[]).unwrap();
    assert!(!config.shown().contains("sesame") && !format!("{config:?}").contains("sesame"));
}
