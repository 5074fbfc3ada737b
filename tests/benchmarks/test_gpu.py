from tests.benchmarks import gpu


def test_the_code_path_runs_on_a_processor_with_small_models(capsys):
    words = "--device cpu --tiny --images 12 --captions 5 --longest 6 --rounds 1 --decoders 1"
    assert gpu.main([*words.split(), "--only", "embed", "ground"]) == 0
    device, _, *lines = capsys.readouterr().out.splitlines()
    assert device.startswith("CPU, ")
    names = ["bare encode_image", "stage embed_images", "stage embed_images"]
    names += ["bare patch features", "stage ground"]
    assert all(line.startswith(name) for line, name in zip(lines, names, strict=True))
    assert all(float(line[44:54]) > 0 for line in lines)


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu.main([]) == 0
    assert capsys.readouterr().out == "not measured: no CUDA device\n"
