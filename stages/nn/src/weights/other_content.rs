//! Content of files that are no weights, in words, and advice.

/// Message about a file, and advice.
pub(super) type Told = (String, &'static str);

const STATE_DICT: &str = "Save the parameters alone: `torch.save(model.state_dict(), \"weights.pth\")`.";
const CONVERT: &str = "Load it in the program that wrote it, and save its tensors by the names that PyTorch has for them, such as by \
                       `safetensors.numpy.save_file`.";

/// Content of a file in the place of weights, with advice, by its beginning. Asked only after a reader has refused the file: PyTorch's
/// oldest ones may begin with text, too.
pub(super) fn other_content(start: &[u8]) -> Option<Told> {
    const FETCH_AGAIN: &str = "Fetch it again, and see whether its address is right.";
    let told = |content: &str, help| Some((content.to_owned(), help));
    if start.is_empty() {
        return told("is empty", FETCH_AGAIN);
    }
    if start.iter().all(|byte| *byte == 0) {
        return told("begins with zeros alone", "A download that broke off leaves such files; fetch it again.");
    }
    if start.starts_with(b"\x89HDF\r\n\x1a\n") {
        return told("is an HDF5 file, as of Keras, and no file of PyTorch's", CONVERT);
    }
    if start.starts_with(b"GGUF") {
        return told("is a GGUF file, and no file of PyTorch's", CONVERT);
    }
    if is_first_of_zip(start, b".npy") {
        let help = "Save its arrays as tensors: `safetensors.numpy.save_file(dict(numpy.load(\"x.npz\")), \"x.safetensors\")`.";
        return told("is a zip archive of NumPy arrays (.npz), and no file of PyTorch's", help);
    }
    // The version and the name of the program, in ONNX's buffers.
    if start.starts_with(&[8]) && start.get(2) == Some(&0x12) {
        return told("is an ONNX file, and no file of PyTorch's", CONVERT);
    }
    let text = start_of_text(start)?.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    if text.starts_with("version https://git-lfs") {
        told("is the pointer that Git LFS leaves in the place of a file", "Fetch the file itself: `git lfs pull`.")
    } else if text.starts_with('<') {
        let help = "A server may have answered with it. Is the address of the weights right?";
        told("is HTML or XML and holds no weights", help)
    } else {
        told("is text and holds no weights", "Give a .pth or .safetensors file.")
    }
}

/// The reader's refusal of a whole file of another content, in words; `None` for a damaged one.
pub(super) fn misread(error: &str) -> Option<Told> {
    if let Some((_, found)) = error.split_once("Expected a dictionary at the root of the PyTorch file, found ") {
        let what = match found {
            "None" => "nothing (`None`)".to_owned(),
            found if found.contains('.') => format!("an object of the class `{found}`"),
            found => format!("a value of the type `{found}`"),
        };
        return Some((format!("holds {what} where a dictionary of tensors belongs"), STATE_DICT));
    }
    let told = |content: &str, help| Some((content.to_owned(), help));
    if error.contains("Big-endian") {
        return told(
            "was saved on a machine with the highest byte first, which is not supported",
            "Save it again on another one: `torch.save(torch.load(\"weights.pth\"), \"weights.pth\")`.",
        );
    }
    if error.contains("unsupported Python type '__torch__.") {
        let help = "Load it with `torch.jit.load`, and save its parameters alone: `torch.save(model.state_dict(), \"weights.pth\")`.";
        return told("is a program of TorchScript (`torch.jit.save`), and no file of parameters", help);
    }
    if let Some((_, after)) = error.split_once("unsupported Python type '")
        && let Some((class, _)) = after.split_once('\'')
    {
        let help = "Save the parameters alone, as dense tensors: `torch.save(model.state_dict(), \"weights.pth\")`.";
        return Some((format!("holds an object that is not read here, of the class or function `{class}`"), help));
    }
    if error.contains("memo bomb") {
        return told("holds large objects that are no tensors, such as pickled NumPy arrays", STATE_DICT);
    }
    if error.contains("No data.pkl entry") {
        return told(
            "is a zip archive without the `data.pkl` of PyTorch's files",
            "If the weights are a file in it, unpack it and give that file.",
        );
    }
    error.contains("not a PyTorch checkpoint").then(|| {
        let help = "Give a .pth or .safetensors file; if it should be one, it is damaged: fetch it again and compare its SHA-256.";
        ("is neither a file of PyTorch's nor in the safetensors format".to_owned(), help)
    })
}

/// Whether the first file of a zip archive has a name with this end.
fn is_first_of_zip(start: &[u8], end: &[u8]) -> bool {
    const NAME: usize = 30;
    let name = || {
        let length = u16::from_le_bytes(*start.get(26..28)?.first_chunk()?);
        start.get(NAME..NAME + usize::from(length))
    };
    start.starts_with(b"PK\x03\x04") && name().is_some_and(|name| name.ends_with(end))
}

/// The beginning of a file as text, if it is text. Its last character may be cut.
fn start_of_text(start: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&start[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    text.chars().all(|character| !character.is_control() || character.is_whitespace()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_programs_are_called_what_they_are() {
        let zip = |name: &str| [b"PK\x03\x04", &[0; 22][..], &[name.len() as u8, 0, 0, 0], name.as_bytes()].concat();
        let files: [&[u8]; 8] = [
            b"\x89HDF\r\n\x1a\n\0",
            b"GGUF\x03\0\0\0",
            &zip("bn1.bias.npy"),
            &zip("archive/data.pkl"),
            b"\x08\x08\x12\x07pytorch",
            b"\x80\x02}q\0.",
            b"<html>",
            b"name,value\n",
        ];
        let shown = files.map(|file| {
            other_content(file).map_or_else(|| "none".to_owned(), |(what, help)| format!("{what}\n  {help}"))
        });
        insta::assert_snapshot!(shown.join("\n"), @r#"
        is an HDF5 file, as of Keras, and no file of PyTorch's
          Load it in the program that wrote it, and save its tensors by the names that PyTorch has for them, such as by `safetensors.numpy.save_file`.
        is a GGUF file, and no file of PyTorch's
          Load it in the program that wrote it, and save its tensors by the names that PyTorch has for them, such as by `safetensors.numpy.save_file`.
        is a zip archive of NumPy arrays (.npz), and no file of PyTorch's
          Save its arrays as tensors: `safetensors.numpy.save_file(dict(numpy.load("x.npz")), "x.safetensors")`.
        none
        is an ONNX file, and no file of PyTorch's
          Load it in the program that wrote it, and save its tensors by the names that PyTorch has for them, such as by `safetensors.numpy.save_file`.
        none
        is HTML or XML and holds no weights
          A server may have answered with it. Is the address of the weights right?
        is text and holds no weights
          Give a .pth or .safetensors file.
        "#);
    }

    #[test]
    fn whole_files_of_another_content_are_not_called_damaged() {
        let root = "invalid PyTorch file format: Expected a dictionary at the root of the PyTorch file, found ";
        let errors = [
            &format!("{root}list"),
            &format!("{root}__torch__.Net"),
            &format!("{root}None"),
            "Big-endian PyTorch files are not supported.",
            "pickle: invalid data in pickle file: Pickle memo bomb detected: copies exceeded 1 nodes",
            "invalid PyTorch file format: No data.pkl entry found in ZIP archive. Expected a PyTorch 1.6+ checkpoint",
            "invalid PyTorch file format: not a PyTorch checkpoint: no ZIP, TAR, legacy or pickle header found",
            "pickle: unsupported Python type '__torch__.torch.nn.modules.conv.Conv2d'. The file holds tensor data",
            "pickle: unsupported Python type 'torch._utils._rebuild_sparse_tensor'. The file holds tensor data",
            "tensor 'a': Tensor with shape [2] requires 2 elements from storage '0', but only 1 are available",
        ];
        let shown = errors
            .map(|error| misread(error).map_or_else(|| "none".to_owned(), |(what, help)| format!("{what}\n  {help}")));
        insta::assert_snapshot!(shown.join("\n"), @r#"
        holds a value of the type `list` where a dictionary of tensors belongs
          Save the parameters alone: `torch.save(model.state_dict(), "weights.pth")`.
        holds an object of the class `__torch__.Net` where a dictionary of tensors belongs
          Save the parameters alone: `torch.save(model.state_dict(), "weights.pth")`.
        holds nothing (`None`) where a dictionary of tensors belongs
          Save the parameters alone: `torch.save(model.state_dict(), "weights.pth")`.
        was saved on a machine with the highest byte first, which is not supported
          Save it again on another one: `torch.save(torch.load("weights.pth"), "weights.pth")`.
        holds large objects that are no tensors, such as pickled NumPy arrays
          Save the parameters alone: `torch.save(model.state_dict(), "weights.pth")`.
        is a zip archive without the `data.pkl` of PyTorch's files
          If the weights are a file in it, unpack it and give that file.
        is neither a file of PyTorch's nor in the safetensors format
          Give a .pth or .safetensors file; if it should be one, it is damaged: fetch it again and compare its SHA-256.
        is a program of TorchScript (`torch.jit.save`), and no file of parameters
          Load it with `torch.jit.load`, and save its parameters alone: `torch.save(model.state_dict(), "weights.pth")`.
        holds an object that is not read here, of the class or function `torch._utils._rebuild_sparse_tensor`
          Save the parameters alone, as dense tensors: `torch.save(model.state_dict(), "weights.pth")`.
        none
        "#);
    }
}
