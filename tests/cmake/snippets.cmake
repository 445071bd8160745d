# Every C++ block of the README and of the documentation is compiled; those with a main() are also run.
include(TernSnippets)
tern_snippets("${PROJECT_SOURCE_DIR}/README.md" "${PROJECT_SOURCE_DIR}/docs/*.md")

# Some snippets need a model: they get one that was trained for a few steps.
if(TARGET bitdistill)
  set(run "${CMAKE_CURRENT_BINARY_DIR}/snippets/run")
  set(model "${run}/stages/base")
  add_test(NAME snippets/model COMMAND sh -c "rm -rf \"$3\" && exec \"$0\" \"$@\""
    "$<TARGET_FILE:bitdistill>" pretrain --out "${run}"
    --corpus "${PROJECT_SOURCE_DIR}/README.md"
    --set data.vocab_size=400 base.steps=4 base.length=32 base.sequences=4
    model.num_hidden_layers=1 model.hidden_size=16 model.intermediate_size=32 model.num_attention_heads=2
    model.num_key_value_heads=2 model.head_dim=8)
  set_tests_properties(snippets/model PROPERTIES FIXTURES_SETUP snippets_model)
  add_test(NAME snippets/generate/runs COMMAND snippet_generate "${model}" "A matrix")
  add_test(NAME snippets/tutorial_classify/runs COMMAND
    sh -c "printf 'fine\\nbad\\n' | \"$0\" \"$1\"" "$<TARGET_FILE:snippet_tutorial_classify>" "${model}")
  set_tests_properties(snippets/tutorial_classify/runs PROPERTIES
                       PASS_REGULAR_EXPRESSION "^(good|bad)\tfine\n(good|bad)\tbad\n$")
  add_test(NAME snippets/embed/runs COMMAND
    snippet_embed "${PROJECT_SOURCE_DIR}/tests/oracle/embedding_qwen3_tiny" "the quick brown fox")
  set_tests_properties(snippets/generate/runs snippets/tutorial_classify/runs PROPERTIES
                       FIXTURES_REQUIRED snippets_model)
endif()
