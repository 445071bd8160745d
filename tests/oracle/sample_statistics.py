"""Student's t and a paired comparison by SciPy, written to sample_statistics.inc beside this file."""
import pathlib

from scipy import stats

FREEDOM = [1, 2, 3, 5, 8, 10, 11, 12, 15, 20, 29, 60, 1000]
FIRST = [97.25, 96.25, 95.5, 96.75]
SECOND = [90.75, 89.5, 90.5, 88.125]

differences = [a - b for a, b in zip(FIRST, SECOND)]
rows = ", ".join(f"{{{n}, {stats.t.ppf(0.975, n):.9f}}}" for n in FREEDOM)
pathlib.Path(__file__).with_suffix(".inc").write_text(f"""// Made by sample_statistics.py with SciPy. Do not edit.
#pragma once
namespace sample_statistics_case {{
inline constexpr std::pair<std::size_t, double> t95[] = {{{rows}}};
inline constexpr double first[] = {{{", ".join(map(str, FIRST))}}};
inline constexpr double second[] = {{{", ".join(map(str, SECOND))}}};
inline constexpr double mean = {stats.tmean(differences):.9f};
inline constexpr double error = {stats.sem(differences):.9f};
inline constexpr double p_value = {stats.ttest_rel(FIRST, SECOND).pvalue:.9f};
}}  // namespace sample_statistics_case
""")
