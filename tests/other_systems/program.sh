#!/usr/bin/env bash
# Runs the main paths of bitdistill for another system, in a folder whose name is not ASCII.
# Arguments: the program, behind the emulator where it needs one.
set -euo pipefail
program=("$@")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
here='grüß 日本'
mkdir "$here"

bitdistill() { "${program[@]}" "$@"; }

fail() {
  echo "FAILED: $1"
  exit 1
}

# holds NAME PATTERN: the file has a line of this pattern, and no line ends with CR.
holds() {
  grep -q -- "$2" "$1" || { cat "$1" && fail "'$2' is not in $1"; }
  ! grep -q $'\r' "$1" || fail "$1 has a CR"
}

settings=(stages.sequences=4 stages.length=32 stages.log_every=2 stages.save_every=4
          data.prompt_tokens=32 model.hidden_size=16 model.intermediate_size=32
          model.num_hidden_layers=2 model.num_attention_heads=2 model.num_key_value_heads=2
          model.head_dim=8 model.max_position_embeddings=128)
demo=(demo --out "$here/run" --threads 2 --set "${settings[@]}" continual.steps=9
      finetuning.steps=6 bitnet_sft.steps=6 distillation.steps=9
      distillation.losses.relations.split_heads=2 data.train_examples=32 data.documents=200
      data.dev_examples=16 data.test_examples=48)

# A run is stopped by Ctrl-C on a terminal while it pretrains, and then continued to its end.
mkfifo keys
script -qec "$(printf "'%s' " "${program[@]}" "${demo[@]}") base.steps=100000" typed \
  <keys >/dev/null &
exec 3>keys
for ((i = 0; i < 300; ++i)); do
  grep -qs '"step"' "$here/run/metrics.jsonl" && break
  sleep 0.2
done
printf '\003' >&3
status=0
wait $! || status=$?
exec 3>&-
((status == 130)) || { cat typed && fail "Ctrl-C: exit code $status"; }
tr -d '\r\n' <typed | grep -aq 'stopped at step' || fail "Ctrl-C: no message"
[[ -f "$here/run/stages/base.state" ]] || fail "Ctrl-C: no state was saved"

bitdistill "${demo[@]}" base.steps=12 --fresh >out.txt
holds out.txt 'BitDistill'
bitdistill "${demo[@]}" base.steps=12 >out.txt
holds out.txt 'done before'
[[ -f "$here/run/models/bitdistill/model.safetensors" ]] || fail 'no model in the folder'
holds "$here/run/metrics.jsonl" '"step"'

model="$here/run/models/bitdistill"
bitdistill inspect "$model" >out.txt
holds out.txt 'grüß 日本'
bitdistill generate --model "$model" --prompt ' all dogs' --max-tokens 4 >out.txt
printf ' all dogs' | bitdistill generate --model "$model" --max-tokens 4 >out2.txt
cmp out.txt out2.txt || fail 'a prompt of the standard input'

# A text with line ends of Windows, a model of it, and what can be made of that model.
for ((i = 0; i < 40; ++i)); do
  printf 'Der %d. Film war schön: ja, nein, vielleicht.\r\n\r\n' "$i"
done >"$here/texte.txt"
bitdistill pretrain --out "$here/base" --corpus "$here/texte.txt" --threads 2 \
  --set "${settings[@]}" base.steps=12 data.vocab_size=400 >out.txt
model="$here/base/stages/base"
bitdistill generate --model "$model" --prompt 'Wie schön' --max-tokens 4 >out.txt
holds out.txt 'schön'
bitdistill export --model "$model" --to gguf --type f16 --out "$here/größe.gguf" >out.txt
holds out.txt 'größe.gguf'
bitdistill generate --model "$here/größe.gguf" --prompt 'Wie schön' --max-tokens 4 >out2.txt
holds out2.txt 'schön'
bitdistill quantize --model "$model" --out "$here/ternär" --calibration "$here/texte.txt" \
  --threads 2 >out.txt
bitdistill inspect "$here/ternär" >out.txt
holds out.txt 'ternär'

bitdistill inspect "$here/fehlt" 2>err.txt && fail 'a missing folder is no error'
holds err.txt "bitdistill: error: 'grüß 日本/fehlt' does not exist"
echo 'passed'
