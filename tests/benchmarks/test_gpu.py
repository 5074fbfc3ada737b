from tests.benchmarks import gpu


def test_the_code_path_runs_on_a_processor_with_small_models(capsys):
    words = "--device cpu --tiny --images 12 --captions 5 --longest 6 --rounds 1 --threads 1"
    assert gpu.main(words.split()) == 0
    device, _, embedding, caption = capsys.readouterr().out.splitlines()
    assert device.startswith("CPU, 20")
    assert embedding.split()[:3] == ["clip,", "embed_images", "12"]
    assert caption.split()[:3] == ["captioner,", "caption", "5"]
    assert float(embedding.split()[-1]) > 0
    assert float(caption.split()[-1]) > 0


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu.main([]) == 0
    assert capsys.readouterr().out == "not measured: no CUDA device\n"
