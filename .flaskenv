# Read by the `flask` command, so that `flask submit …` needs no --app.
FLASK_APP=web_app
