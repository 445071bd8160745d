#!/usr/bin/env python3
"""Changes one sign in a backward pass, or leaves out a call, and checks that a test fails. Such a
change is a mutation; one that no test notices survives.

    scripts/mutation.py [WORD...]     all mutations, or those whose header or text contains a word

The commands that compile and link a test are those of build/release. Only the changed header is copied.
All mutations take seven minutes on one core. The mutation of multiply_on_unit survives on a CPU without
AVX512-BF16 and AMX.
The exit status is 1 if a mutation survives.
"""
import json
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
WORK = ROOT / "build/mutation"
SECONDS = 300  # a test that takes longer counts as failed

# (header, test): [(text that occurs once in the header, its replacement), ...]
TABLE = {
    ("nn/linear.hpp", "nn/linear"): [
        ("gemm<T>(T(1), dy, w, dx", "gemm<T>(T(-1), dy, w, dx"),
        ("gemm<T>(T(1), dy.transposed(), x, dw", "gemm<T>(T(-1), dy.transposed(), x, dw"),
        ("simd::axpy(T(1), dy.col_block", "simd::axpy(T(-1), dy.col_block"),
    ],
    ("nn/bit_linear.hpp", "nn/bit_linear"): [
        ("gemm<T>(T(1), dy, dequantized_weights", "gemm<T>(T(-1), dy, dequantized_weights"),
        ("if (dbias) linear<T>::add_column_sums(dy, dbias, ex);", ""),
        ("if (dw) add_product<T>(dy.transposed(), {s.x_codes, s.x_scales}, dw, scratch, ex, p);", ""),
        ("sub_ln<T>::backward(dnormed, x, gain, s.inv_rms, dx, dgain, ex);", ""),
    ],
    ("nn/scaled_bit_linear.hpp", "nn/scaled_bit_linear"): [
        ("reals) - (inside ? x : zero)", "reals) + (inside ? x : zero)"),
        ("(x < limit) & (x > -limit)", "(x < limit)"),
        ("static_cast<T>(codes[i]) - (inside", "static_cast<T>(codes[i]) + (inside"),
        ("out += all ? d : (inside ? d : zero)", "out += d"),
        ("dscales(r / s.w_block.rows, i) += ", "dscales(r / s.w_block.rows, i) -= "),
        ("g.dw(r, c + i) += d", "g.dw(r, c + i) -= d"),
    ],
    ("linalg/scaled_codes.hpp", "linalg/precision"): [
        ("multiply_on_unit<T>(T(1), a, b.scales", "multiply_on_unit<T>(T(-1), a, b.scales"),
        ("gemm<T>(T(1), a, real", "gemm<T>(T(-1), a, real"),
    ],
    ("nn/rms_norm.hpp", "nn/rms_norm"): [
        ("(d * g * a - v * b)", "(d * g * a + v * b)"),
        ("before + d * v * inv", "before - d * v * inv"),
    ],
    ("nn/rope.hpp", "nn/rope"): [("rotate(dy, positions, table, T(-1)", "rotate(dy, positions, table, T(1)")],
    ("nn/embedding.hpp", "nn/embedding"): [("simd::axpy(scale, from", "simd::axpy(-scale, from")],
    ("nn/attention.hpp", "nn/attention"): [
        ("gemm_block<T>(T(1), seen.transposed()", "gemm_block<T>(T(-1), seen.transposed()"),
        ("gemm_block<T>(factor, slope, ", "gemm_block<T>(-factor, slope, "),
        ("gemm_block<T>(factor, slope.transposed()", "gemm_block<T>(-factor, slope.transposed()"),
        ("p * (g - mean)", "p * (g + mean)"),
    ],
    ("nn/cross_entropy.hpp", "nn/cross_entropy"): [
        ("sum + factor * xsimd::exp", "sum - factor * xsimd::exp"),
        ("g[target - first_column] -= each", "g[target - first_column] += each"),
    ],
    ("nn/feed_forward.hpp", "nn/feed_forward"): [
        ("dg + d * u * slope", "dg - d * u * slope"),
        ("du + d * value", "du - d * value"),
        ("(B(1) + g * (B(1) - s))", "(B(1) - g * (B(1) - s))"),
        ("s + g * s * (B(1) - s) * twice", "s - g * s * (B(1) - s) * twice"),
        ("distribution + g * density", "distribution - g * density"),
        ("positive + positive", "positive - positive"),
    ],
    ("nn/graph/add.hpp", "nn/graph"): [
        ("{ simd::axpy<T>(T(1), from.row(r)", "{ simd::axpy<T>(T(-1), from.row(r)"),
        ("if (a.grad) accumulate", "if (!a.grad) accumulate"),
        ("if (b.grad) accumulate", "if (!b.grad) accumulate"),
    ],
    ("nn/graph/gather_rows.hpp", "nn/graph"): [
        ("simd::axpy<T>(T(1), y.grad.row(i)", "simd::axpy<T>(T(-1), y.grad.row(i)"),
    ],
    ("grad/ste.hpp", "grad/ste"): [("simd::axpy(T(1), dy", "simd::axpy(T(-1), dy")],
    ("distill/logits.hpp", "distill/logits"): [
        ("g + each * (xsimd", "g - each * (xsimd"),
        ("shift_s) - xsimd::exp(t * factor", "shift_s) + xsimd::exp(t * factor"),
    ],
    ("distill/relation.hpp", "distill/relation"): [
        ("* mass - m", "* mass + m"),
        ("s.score_backward(each", "s.score_backward(-each"),
    ],
    ("distill/relation_head.hpp", "distill/relation"): [
        ("gemm_block<T>(scale * factor, seen, ", "gemm_block<T>(-scale * factor, seen, "),
        ("gemm_block<T>(scale * factor, seen.tr", "gemm_block<T>(-scale * factor, seen.tr"),
        ("simd::axpy<T>(scale, dx", "simd::axpy<T>(-scale, dx"),
        ("simd::axpy<T>(-scale * simd::dot", "simd::axpy<T>(scale * simd::dot"),
    ],
    ("distill/objective.hpp", "distill/objective"): [
        ("gemm<T>(T(1), g, in.table", "gemm<T>(T(-1), g, in.table"),
        ("gemm<T>(T(1), g.transposed()", "gemm<T>(T(-1), g.transposed()"),
    ],
    ("distill/cross_entropy_term.hpp", "distill/objective"): [
        ("static_cast<T>(this->factor())", "static_cast<T>(-this->factor())"),
    ],
    ("distill/logits_term.hpp", "distill/objective"): [
        ("static_cast<T>(this->factor())", "static_cast<T>(-this->factor())"),
    ],
    ("distill/hidden_state_term.hpp", "distill/hidden_state_term"): [
        ("simd::axpy<T>(scale, row", "simd::axpy<T>(-scale, row"),
        ("simd::axpy<T>(-scale, target", "simd::axpy<T>(scale, target"),
        ("this->factor() * 2 / (size", "this->factor() / (size"),
        ("rows[r].teacher * used", "rows[r].teacher"),
    ],
    ("distill/relation_term.hpp", "train/trainer"): [
        ("static_cast<T>(alpha * this->factor())", "static_cast<T>(-alpha * this->factor())"),
    ],
    ("recipe/choose_layers.hpp", "recipe/choose_layers"): [
        ("gradient.clear();", ""),
        ("gradient.keep();", ""),
        ("kept_.data() + at, g.size", "kept_.data(), g.size"),
        (">= term.layers[term.chosen].mean", "> term.layers[term.chosen].mean"),
        ("if (rates.of(p.kind) == 0) p.grad", "if (false) p.grad"),
        ("o.weight = 1;", ""),
    ],
    ("linalg/cholesky.hpp", "linalg/cholesky"): [
        ("x[i] - simd::dot(known, factors)", "x[i] + simd::dot(known, factors)"),
        ("simd::axpy<T>(-x[i]", "simd::axpy<T>(x[i]"),
        ("gemm<T>(T(-1), x.col_block", "gemm<T>(T(1), x.col_block"),
        ("gemm<T>(T(-1), part", "gemm<T>(T(1), part"),
        ("gemm<T>(T(-1), below", "gemm<T>(T(1), below"),
        ("!(square > T(0)) || ", ""),
    ],
    ("calibrate/input_moments.hpp", "calibrate/input_moments"): [
        ("by_weight * (by_unit * (u - v))", "by_weight * (by_unit * (u + v))"),
        ("by_weight * (by_unit * (u - v))", "by_unit * (u - v)"),
        ("row_view<const T>(plain));", "x);"),
        ("h(r, c) = h(c, r);", "h(r, c) = T(0);"),
        ("if (weight > T(0)) chosen", "chosen"),
        ("if (filled_ == chunk) flush(ex);", "if (filled_ == chunk) filled_ = 0;"),
    ],
    ("calibrate/hessian_factor.hpp", "calibrate/gptq"): [
        ("a(r, r) == 0 ? 1 : a(r, r) + damping", "a(r, r) + damping"),
        ("a(r, r) + damping", "a(r, r)"),
        ("hessian(a, a) > hessian(b, b)", "hessian(a, a) < hessian(b, b)"),
    ],
    ("calibrate/target_correction.hpp", "calibrate/target_correction"): [
        ("gemm<T>(T(1), before", "gemm<T>(T(-1), before"),
        ("multiply_by_inverse<double>(lower, x);", ""),
    ],
    ("calibrate/gptq.hpp", "calibrate/gptq"): [
        ("gemm<T>(T(-1), errors", "gemm<T>(T(1), errors"),
        ("simd::axpy<T>(-error", "simd::axpy<T>(error"),
        (" / upper(j, j)", ""),
        ("const bool scales_first = ", "const bool scales_first = true || "),
        ("if (first % block.cols == 0)", "if (first % block.cols != 0)"),
        ("wide < to_next ? wide : to_next", "to_next"),
        ("out.latents(r, factor.order()[i]) = work(r, i)", "out.latents(r, i) = work(r, i)"),
    ],
    ("calibrate/coordinate_descent.hpp", "calibrate/coordinate_descent"): [
        ("simd::axpy<T>(-step", "simd::axpy<T>(step"),
        ("e[c] -= step", "e[c] += step"),
        ("(g[c] + added * e[c]) / diagonal", "g[c] / diagonal"),
        ("nearest_with_code(best(c), scale_of(r, c), out.codes(r, c))", "best(c)"),
    ],
    ("calibrate/calibrated_input.hpp", "calibrate/calibrated_input"): [
        ("(limit / rms[i]) * (limit / rms[i])", "T(0)"),
        ("find_sinks(hidden_rms, options);", ""),
    ],
    ("calibrate/output_error.hpp", "calibrate/awq"): [
        ("return total < 0 ? 0 : total", "return total > 0 ? total : 0"),
    ],
    ("calibrate/output_error.hpp", "calibrate/gptq"): [
        ("weights(r, c) - approximation(r, c)", "weights(r, c) + approximation(r, c)"),
    ],
    ("calibrate/awq.hpp", "calibrate/awq"): [
        ("* scale / factors[c]", "* scale"),
        ("/ middle", ""),
        ("error >= least", "error <= least"),
    ],
    ("train/sgd.hpp", "train/optimizer"): [
        ("keep * w0 - lr", "keep * w0 + lr"),
        ("mu * m0 + scale", "mu * m0 - scale"),
    ],
    ("train/adamw.hpp", "train/optimizer"): [
        ("keep * w0 - step_of", "keep * w0 + step_of"),
        ("keep * w0 - step * step_of", "keep * w0 + step * step_of"),
        ("m1 * d > batch(T(0))", "m1 * d < batch(T(0))"),
        ("b1 * m0 + c1 * x", "b1 * m0 - c1 * x"),
        ("b2 * v0 + c2", "b2 * v0 - c2"),
        ("1 - u.rate * decay", "1 + u.rate * decay"),
        ("inv_v) + eps", "inv_v) - eps"),
        ("rate / (1 - std::pow", "rate / (1 + std::pow"),
    ],
}


def compile_command(test):
    source = str(ROOT / "tests" / (test + ".cpp"))
    unit = f"/test_{test.split('/')[0]}.dir/"  # a folder is compiled as one unit in whole builds
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        if unit in entry["command"] and pathlib.Path(source).exists():
            words = shlex.split(entry["command"])
            del words[words.index("-o"):words.index("-c")]
            return [words[0], f"-I{WORK}/include"] + words[1:-1] + [source, "-O1", "-w"]
    sys.exit(f"no test {source}")


def link_command(test):
    program = "test_" + test.split("/")[0]
    lines = subprocess.run(["ninja", "-C", BUILD, "-t", "commands", program], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    own = re.compile(rf"tests/CMakeFiles/{program}\.dir/")
    words = [w for w in shlex.split(lines[-1]) if w not in (":", "&&") and not own.match(w)]
    words[words.index("-o") + 1] = str(WORK / "test")
    words.insert(words.index("-o"), str(WORK / "test.o"))
    return words


def verdict(test):
    """Compiles and runs the test. Returns "passes", "fails" or the compiler's messages."""
    for command in compile_command(test) + ["-o", f"{WORK}/test.o"], link_command(test):
        done = subprocess.run(command, cwd=BUILD, capture_output=True, text=True)
        if done.returncode != 0:
            return "does not compile:\n" + done.stderr[:2000]
    try:
        done = subprocess.run([WORK / "test"], cwd=WORK, capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return "fails"
    return "passes" if done.returncode == 0 else "fails"


def check(header, test, mutations):
    """Tries the mutations of a header and returns how many survive."""
    copy = WORK / "include/tern" / header
    copy.unlink(missing_ok=True)
    if (whole := verdict(test)) != "passes":
        sys.exit(f"{test} {whole} before anything is broken")
    code, bad = (ROOT / "include/tern" / header).read_text(), 0
    copy.parent.mkdir(parents=True, exist_ok=True)
    for old, new in mutations:
        copy.write_text(code.replace(old, new))
        result = verdict(test)
        bad += result != "fails"
        print(f"{'caught  ' if result == 'fails' else 'SURVIVES'}  {header}: {old} -> {new}"
              + ("" if result in ("fails", "passes") else "  " + result), flush=True)
    copy.unlink()
    return bad


def require_all_texts():
    """Each text must occur once in its header: a moved header or a new spelling needs a change of TABLE."""
    for (header, _), mutations in TABLE.items():
        code = (ROOT / "include/tern" / header).read_text()
        for old, _ in mutations:
            if code.count(old) != 1:
                sys.exit(f"{header} contains {code.count(old)} times, not once: {old}")


def main():
    require_all_texts()
    subprocess.run(["cmake", "--preset", "release"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", BUILD, "--target", "tern_test_main", "tern_instances"], check=True,
                   stdout=subprocess.DEVNULL)
    WORK.mkdir(parents=True, exist_ok=True)
    bad = total = 0
    for (header, test), mutations in TABLE.items():
        chosen = [m for m in mutations if not sys.argv[1:] or any(w in header + m[0] for w in sys.argv[1:])]
        if chosen:
            bad += check(header, test, chosen)
            total += len(chosen)
    print(f"{total - bad} of {total} mutations caught")
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
