"""Writes text_metrics.json: predictions with references, made here from sentences and a seed, and
what rouge-score, sacrebleu and NLTK's PorterStemmer give for them.

    python tests/oracle/text_metrics.py
"""
import json
import logging
import pathlib
import random

from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU

PAIRS, CORPUS = 1200, 75
logging.getLogger("sacrebleu").setLevel(logging.ERROR)  # it warns of scores of single sentences

SENTENCES = """\
The ferry left the harbour at 7.30, ten minutes before the storm arrived.
Engineers are measuring how quickly the bridges' cables are stretching.
"We were surprised," she said; "nobody had expected 1,250 visitors."
Prices rose by 3.5% in 2021-22, and wages by 2,1 %.
A small café on the Straße sells naïve paintings – and crème brûlée.
The committee's decision (see §4.2) was unanimous!
Researchers found that the dying stars were lying closer than they proceeded to say.
Ships carry grain, iron ore and timber; timber, iron ore and grain.
Half of the wells ran dry, half of the wells ran dry.
Он написал три письма, но не отправил ни одного.
北京的冬天很冷。 Beijing is cold in winter.
İstanbul'da hava 5°C, or 278\u212a on the absolute scale.
Tom &amp; Jerry said &quot;hello&quot; &lt;twice&gt; to R&D.
&amp;lt; is how &lt; is written, &amp;amp; so on.
E-mail me at first.last@example.org, or call +49-30-1234567.
<skipped> The announcer paused. <skipped>Then he went on.
Version 2.0.1-rc3 fixes bugs #12, #13 & #14...
What?! No... yes -- perhaps: the 3-2 vote, the 10-km run, the 5- or 6-day trip.
Scores were 21-19,19-21,22-20 .
Skies cleared, ponies trotted, and the happy children enjoyed hopping, skipping and running.
Relational databases conditionally digitize the radically different vietnamization of feudalism.
The geologist's geology lectures were hopefully formalized, electrical and goodness knows what else.
😀 Emoji 👍🏽 and combining e\u0301 accents are no letters here.
Tabs\tand\u00a0odd\u2003spaces\u3000stand\u2028between\u0085these\x1cwords\u202f.
¿Dónde está la biblioteca? ¡Aquí!
a b c d e a b c a b
the the the the the the the
O'Neill's cat wasn't amused; it's 5 o'clock.
Costs: $1,000.50, €2.000,75, £3 and ¥400.
x=y+z*(a/b)^2~[c]{d}|e\\f_g`h'i
1.5.6,7,8.9. .5 5. ,5 5,
Rain is expected tomorrow in the north and in the west of the country.
Tomorrow, rain is expected in the west and in the north.
The museum reopened after a renovation that lasted three years and cost 40 million.
After three years of renovation costing 40 million, the museum has reopened.
Farmers harvested wheat early because the summer was unusually dry.
Because of an unusually dry summer the wheat was harvested early by farmers.
The court rejected the appeal and ordered a new hearing in May.
A new hearing was ordered for May when the appeal was rejected.""".split("\n") + ["The well-known, state-of-the-art method-\nology was broken at the line's end."]
ODD = ["", " ", "\n", "\n\n", ".", ",", "-", "…", "ab", "a", "é", "5", "-\n", "&", "&amp;", "<skipped>",
       "\u212a", "\u212aelvin", "İİ", "DIE", "e\u0301", "\u2003", "\x85", "...", ".,.,", "5.5", "a.5", "5.a",
       "5-a", "a-5", "the", "K"]
ENDINGS = ["s", "es", "ed", "ing", "ly", "ness", "ful", "ation", "ization", "iveness", "ies", "y", "ment"]


def changed(random, sentence):
    """The sentence with some words lost, moved, doubled, ended otherwise, or in capitals."""
    words = sentence.split(" ")
    for _ in range(random.randrange(5)):
        at = random.randrange(len(words))
        match random.randrange(7):
            case 0: words.pop(at)
            case 1: words.insert(random.randrange(len(words)), words.pop(at))
            case 2: words.insert(at, words[at])
            case 3: words[at] += random.choice(ENDINGS)
            case 4: words[at] = random.choice(ODD)
            case 5: words[at] = words[at].upper()
            case 6: words[at] = random.choice(random.choice(SENTENCES).split(" "))
        words = words or [""]
    return " ".join(words)


def text(random, base):
    """Changed forms of some of the sentences of `base`, mostly a line each."""
    if random.random() < 0.04:
        return random.choice(ODD)
    chosen = [changed(random, s) for s in base if random.random() < 0.8]
    if chosen and random.random() < 0.15:
        chosen.append(random.choice(chosen))
    if random.random() < 0.1:
        chosen.insert(random.randrange(len(chosen) + 1), random.choice(ODD))
    if random.random() < 0.3:
        random.shuffle(chosen)
    return random.choice(["\n", "\n", " ", "\n\n"]).join(chosen) + random.choice(["", "", "", "\n", " \u2003"])


def main():
    generator = random.Random(20)
    pairs = []
    for _ in range(PAIRS):
        base = generator.sample(SENTENCES, generator.choice([1, 1, 2, 2, 3]))
        references = [text(generator, base) for _ in range(generator.choice([1, 1, 1, 2, 3]))]
        prediction = references[0] if generator.random() < 0.02 else text(generator, base)
        pairs.append((prediction, references))

    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    scorers = [RougeScorer(kinds, use_stemmer=stem) for stem in (False, True)]
    trigrams = RougeScorer(["rouge3"])
    bleu, effective = BLEU(), BLEU(effective_order=True)
    rows = []
    for prediction, references in pairs:
        rouge = [[s.score_multi(references, prediction)[k].fmeasure for k in kinds] for s in scorers]
        rows.append([prediction, references, *rouge,
                     trigrams.score_multi(references, prediction)["rouge3"].fmeasure,
                     bleu.sentence_score(prediction, references).score,
                     effective.sentence_score(prediction, references).score])

    corpora = []
    for begin in [*range(0, PAIRS, CORPUS), None]:
        part = pairs if begin is None else pairs[begin:begin + CORPUS]
        most = max(len(references) for _, references in part)
        streams = [[r[i] if i < len(r) else None for _, r in part] for i in range(most)]
        predictions = [p for p, _ in part]
        corpora.append([begin or 0, len(part), bleu.corpus_score(predictions, streams).score,
                        effective.corpus_score(predictions, streams).score])

    stemmer = PorterStemmer()
    words = {w for s in SENTENCES for w in s.lower().split() if w.isascii() and w.isalnum()}
    words |= set(stemmer.pool)
    bases = ["relat", "hop", "fall", "fil", "tro", "yy", "enjo", "b", "oo", "controll", "agr", "siz", "ge", "adopt"]
    suffixes = """sses ies ss s eed ed ing ated bling izing y ied alli ational tional enci anci izer bli abli
        entli eli ousli ization ation ator alism iveness fulness ousness aliti iviti biliti fulli logi icate ative
        alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent sion tion ion ou ism ate iti ous
        ive ize e ll l""".split()
    words |= {b + s for b in bases for s in suffixes}
    stems = [[w, stemmer.stem(w)] for w in sorted(words)]

    def lines(items):
        return ",\n".join(json.dumps(i, ensure_ascii=False, separators=(",", ":")) for i in items)

    out = pathlib.Path(__file__).with_suffix(".json")
    out.write_text(f'{{"pairs":[\n{lines(rows)}],\n"corpora":[\n{lines(corpora)}],\n'
                   f'"stems":{json.dumps(stems, separators=(",", ":"))}}}\n')
    print(out.stat().st_size, "bytes")


main()
