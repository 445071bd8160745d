"""Writes jinja.json: small templates and what transformers' renderer of chat templates makes of them.

    python tests/oracle/jinja.py
"""
import json
import pathlib

from transformers.utils.chat_template_utils import _compile_jinja_template

MESSAGES = [
    {"role": "system", "content": " Be brief. "},
    {"role": "user", "content": "Why is\nthe sky blue? "},
    {"role": "assistant", "content": "<think>\nair\n</think>\n\nScattering."},
    {"role": "user", "content": "Größe 日本"},
]
VARIABLES = {"messages": MESSAGES, "bos_token": "<s>", "eos_token": "</s>", "tools": None,
             "add_generation_prompt": True, "n": 7, "x": 2.5, "table": {"a": 1, "b": [True, None, "ü"]}}

TEMPLATES = {
    "plain text": "a {b} c",
    "a line break at the end": "a\n\n",
    "output": "{{ bos_token }}{{ n }}{{ x }}{{ tools }}{{ true }}|{{ missing }}|",
    "marks": "a  {{- n -}}  b\n  {%- if n -%}  c  {%- endif %}\n  d",
    "blocks on lines of their own": "  {% if n %}\n  x\n  {% endif %}\n  y {% if n %} z{% endif %}\nw",
    "a block that keeps its white space": "a\n  {%+ if n +%}\nb{% endif %}",
    "comments": "a {# b #} c\n  {# d #}\n{#- e -#}\n f",
    "loop": "{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}"
            "{{ loop.length }}{{ loop.revindex }}{{ m.role }};{% endfor %}",
    "neighbours": "{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined }}>"
                  "{{ loop.nextitem.role if loop.nextitem is defined }} {% endfor %}",
    "loop with a condition": "{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m.content }}"
                             "{% else %}none{% endfor %}",
    "loop over nothing": "{% for m in [] %}a{% else %}none{% endfor %}",
    "loop over pairs": "{% for k, v in table.items() %}{{ k }}={{ v|tojson }} {% endfor %}",
    "loop that is left": "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}"
                         "{% if i > 4 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "range": "{% for i in range(7, 1, -2) %}{{ i }} {% endfor %}",
    "branches": "{% for m in messages %}{% if m.role == 'system' %}S{% elif m['role'] == 'user' %}U"
                "{% else %}A{% endif %}{% endfor %}",
    "namespace": "{% set ns = namespace(last=-1, found=false) %}{% for m in messages %}"
                 "{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% set ns.found = true %}"
                 "{% endif %}{% endfor %}{{ ns.last }}{{ ns.found }}",
    "a variable inside a loop": "{% set a = 1 %}{% for i in range(3) %}{% set a = i %}{% endfor %}{{ a }}",
    "captured text": "{% set a %}x{{ n }}y{% endset %}[{{ a }}]",
    "macro": "{% macro turn(role, text='none') %}<{{ role }}>{{ text | trim }}{% endmacro %}"
             "{{ turn('user') }}{{ turn('a', text=' b ') }}{% for m in messages %}{{ turn(m.role, m.content) }}"
             "{% endfor %}",
    "a macro that calls itself": "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}"
                                 "{{ f(3) }}",
    "arithmetic": "{{ 1 + 2 * 3 - 4 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 8 / 2 }} {{ x * 2 }}",
    "comparison": "{{ 1 < 2 }}{{ 'a' < 'b' }}{{ 2 <= 1 }}{{ 1 == 1.0 }}{{ 'a' != 'a' }}{{ not n }}",
    "and, or": "{{ missing or 'b' }}{{ '' and 'c' }}{{ n and 'd' }}{{ (missing and 'e') is defined }}",
    "conditional": "{{ 'a' if n > 3 else 'b' }}{{ 'c' if n > 9 }}{{ 'd' if n > 9 else 'e' if n else 'f' }}",
    "in": "{{ 'sky' in messages[1].content }}{{ 'b' in table }}{{ 3 in [1, 2] }}{{ 3 not in [1, 2] }}",
    "concatenation": "{{ 'a' + 'b' ~ n ~ true }}{{ ([1] + [2, 3]) | tojson }}",
    "members": "{{ messages[0].role }}{{ messages[-1]['role'] }}{{ table['b'][2] }}{{ 'abc'[1] }}{{ 'abc'[-1] }}",
    "slices": "{{ messages[1:] | length }}{{ messages[::-1][0].role }}{{ 'Größe'[1:3] }}{{ 'abcdef'[::2] }}"
              "{{ 'abcdef'[-2:] }}{{ 'abc'[5:] }}{{ 'abcdef'[4:1:-1] }}",
    "tests": "{{ n is defined }}{{ missing is defined }}{{ tools is none }}{{ n is not none }}{{ 'a' is string }}"
             "{{ table is mapping }}{{ [] is iterable }}{{ n is number }}{{ n is odd }}{{ n is divisibleby 7 }}"
             "{{ n is even }}{{ false is false }}{{ 'a' is equalto('a') }}{{ table is not string }}",
    "filters": "{{ ' a '|trim }}|{{ 'aB c'|upper }}{{ 'AB'|lower }}{{ 'aB c'|title }}{{ 'aB'|capitalize }}"
               "{{ messages|length }}{{ 'Größe'|count }}{{ missing|default('d') }}{{ ''|default('e', true) }}"
               "{{ ['a', 'b']|join(', ') }}{{ messages|first|length }}{{ (messages|last).role }}{{ n|string }}"
               "{{ 'a-b'|replace('-', '+') }}{{ 'grö'|upper }}",
    "tojson": "{{ table|tojson }}{{ 'a\"b\\n'|tojson }}{{ [1.5, {}]|tojson }}{{ table|tojson(indent=2) }}",
    "selected": "{{ messages|selectattr('role', 'equalto', 'user')|list|length }}"
                "{{ messages|rejectattr('role', 'equalto', 'user')|map(attribute='role')|join(' ') }}",
    "methods": "{{ ' a '.strip() }}|{{ 'xxaxx'.strip('x') }}{{ 'xa'.lstrip('x') }}{{ 'ax\\n'.rstrip('\\n') }}"
               "{{ 'a,b,c'.split(',')[-1] }}{{ 'a b  c'.split()|length }}{{ 'a,b,c'.split(',', 1)[1] }}"
               "{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith('ab') }}{{ 'aBc'.upper() }}{{ 'ABC'.lower() }}"
               "{{ 'ab'.title() }}{{ 'a-a'.replace('a', 'b') }}{{ 'Größe'.find('ß') }}"
               "{{ table.get('a') }}{{ table.get('z', 'no') }}{{ table.keys()|list|join }}",
    "thoughts": "{% set c = messages[2].content %}{{ c.split('</think>')[0].rstrip('\\n').split('<think>')[-1]"
                ".lstrip('\\n') }}|{{ c.split('</think>')[-1].lstrip('\\n') }}",
    "escapes": "{{ 'a\\tb\\\\c\\'d' }}{{ \"e'f\\\"g\" }}{{ '\\u00e9' }}",
    "lists and dictionaries": "{{ {'a': 1, 'b': {'c': (1, 2)}}.b.c[1] }}{{ [1, 2,][1] }}{{ dict(a=3).a }}",
    "what an assistant wrote": "a{% generation %}b{% endgeneration %}c",
    "line breaks of other systems": "a\r\n{% if n %}\r\nb\r{{ 'c\r\nd' }}{% endif %}\r\n",
    "wide white space": "a\n\u3000{% if n %}b{% endif %}\u3000{{- n -}}\u00a0c",
    "a chain of comparisons": "{{ 1 < 2 < 3 }}{{ 3 > 2 == true }}{{ 'a' in 'ab' == true }}{{ 1 == 1 == 1 }}"
                              "{{ 1 < n not in [7] }}",
    "the rank of a sign": "{{ -n|string }}{{ -n is number }}{{ - table.a }}{{ -n + 2 }}{{ +n }}",
    "the rank of ~": "{{ 'a' ~ 2 * 3 }}{{ 'a' ~ n ~ -n }}{{ 'a' + n ~ 'b' if false else 'c' }}",
    "true is 1": "{{ true == 1 }}{{ false == 0 }}{{ true in [3, 1] }}{{ [true, {'a': 0}] == [1, {'a': false}] }}"
                 "{{ true == 2 }}",
    "dictionaries in any order": "{{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }}{{ {'a': 1} == {'a': 2} }}"
                                 "{{ {'a': 1} != {'b': 1} }}",
    "a member in a test": "{{ 'user' is eq messages[1].role }}{{ 'user' is equalto messages[0]['role'] }}"
                          "{{ 'a' is in 'abc' }}{{ 'a' is in table }}{{ 7 is eq 7.0 }}{{ none is sameas none }}"
                          "{{ 1 is sameas true }}{{ true is number }}{{ missing is iterable }}",
    "names of functions": "{{ strftime_now is defined }}{{ namespace is defined }}"
                          "{{ raise_exception is not undefined }}"
                          "{% macro m() %}{% endmacro %}{{ m is defined }}{{ other is defined }}",
    "depth of a loop": "{% for i in range(2) %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}",
    "a loop that is left in a block": "{% for i in range(3) %}{% set a %}"
                                      "{% if i %}{% break %}{% endif %}{% endset %}{{ i }}{% endfor %}",
    "defaults that use parameters": "{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(1, 2) }}"
                                    "{{ f(b=3, a=4) }}",
    "numbers with a fraction": "{{ 10000000.0 * 100000000.0 }} {{ 100000000.0 * 100000000.0 }} {{ 0.1 + 0.2 }} "
                               "{{ 0.0001 }} {{ 0.00001 }} {{ 1 / 3 }} {{ -0.0 }} {{ [1.0, 0.00001]|tojson }} {{ 12345678.0 }}",
    "JSON on lines": "{{ [1, [2, {'a': 'b'}], [], {}, 2.0]|tojson(indent=2) }}{{ table|tojson(indent=0) }}"
                     "{{ table|tojson(indent=none) }}",
    "titles": "{{ \"it's o'neil a-b c(d\"|title }}{{ \"it's o'neil\".title() }}{{ 'ǆa'|capitalize }}{{ 'ǆa'|title }}",
    "split at white space": "{{ ' a\u3000b\u00a0c à '.split()|tojson }}{{ ' a b c '.split(none, 1)|tojson }}"
                            "{{ ' a  b '.split(none, 0)|tojson }}",
    "join of anything": "{{ 'abc'|join('-') }}{{ missing|join('-') }}{{ table|join(',') }}{{ 'abc'|list|tojson }}"
                        "{{ table|list|tojson }}{{ missing|list|length }}",
    "a tag in a string": "{{ '{% if %}' }}{{ '}}' }}",
    "Llama's turns": "{{- bos_token }}\n{%- set loop_messages = messages %}\n{%- for message in loop_messages %}\n"
                     "    {%- set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + "
                     "message['content'] | trim + '<|eot_id|>' %}\n    {%- if loop.index0 == 0 %}\n"
                     "        {%- set content = bos_token + content %}\n    {%- endif %}\n    {{- content }}\n"
                     "{%- endfor %}\n{%- if add_generation_prompt %}\n"
                     "    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n",
    "Gemma's turns": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] "
                     "+ '\\n\\n' %}{% set rest = messages[1:] %}{% else %}{% set first = '' %}{% set rest = messages %}"
                     "{% endif %}{% for m in rest %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
                     "{{ raise_exception('roles must alternate') }}{% endif %}{% set role = 'model' if m['role'] == "
                     "'assistant' else m['role'] %}{{ '<start_of_turn>' + role + '\\n' + (first if loop.first else '') "
                     "}}{% if m['content'] is string %}{{ m['content'] | trim }}{% elif m['content'] is iterable %}"
                     "{% for item in m['content'] %}{{ item['text'] | trim }}{% endfor %}{% endif %}"
                     "{{ '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}"
                     "{% endif %}",
}

cases = [{"name": name, "template": template, "text": _compile_jinja_template(template).render(**VARIABLES)}
         for name, template in TEMPLATES.items()]
text = json.dumps({"variables": VARIABLES, "cases": cases}, ensure_ascii=False, indent=1)
(pathlib.Path(__file__).parent / "jinja.json").write_text(text + "\n")
