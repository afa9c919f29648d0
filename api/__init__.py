"""The REST API of version 1, for programs with a token. It orders and reads as the pages do."""

from api.problems import answer_to, problem_answer
from api.serving import init_api
