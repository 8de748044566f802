"""A Flask app on the official Python SDK. Argument: JSON with ``fd`` (a listening socket), ``core``, ``apiKey``, ``antiCsrf``,
``dynamicKey``.
"""

import json
import socket
import sys

from flask import Flask, g, request
from supertokens_python import InputAppInfo, RecipeUserId, SupertokensConfig, init
from supertokens_python.framework.flask import Middleware
from supertokens_python.recipe import session
from supertokens_python.recipe.session import syncio
from supertokens_python.recipe.session.asyncio import revoke_session
from supertokens_python.recipe.session.framework.flask import verify_session
from waitress import serve

settings = json.loads(sys.argv[1])
app = Flask("sdk_app", static_folder=None)
thefts = []


async def on_theft(_request, handle, user_id, recipe_user_id, response):
    thefts.append({"handle": handle, "user": user_id, "recipeUser": recipe_user_id.get_as_string()})
    await revoke_session(handle)
    response.set_status_code(401)
    response.set_json_content({"message": "token theft detected"})
    return response


init(
    app_info=InputAppInfo(app_name="sdk", api_domain="http://localhost", origin="http://localhost"),
    framework="flask",
    mode="wsgi",
    telemetry=False,
    supertokens_config=SupertokensConfig(connection_uri=settings["core"], api_key=settings["apiKey"]),
    recipe_list=[
        session.init(
            cookie_secure=False,
            anti_csrf=settings["antiCsrf"],
            use_dynamic_access_token_signing_key=settings["dynamicKey"],
            error_handlers=session.InputErrorHandlers(on_token_theft_detected=on_theft),
        )
    ],
)
Middleware(app)


@app.post("/login")
def login():
    body = request.json
    user = RecipeUserId(body["user"])
    created = syncio.create_new_session(request, "public", user, body["payload"], body["data"])
    return {"handle": created.get_handle()}


@app.route("/me", methods=["GET", "POST"])
@verify_session()
def me():
    return {"user": g.supertokens.get_user_id(), "payload": g.supertokens.get_access_token_payload()}


@app.get("/checked")
@verify_session(check_database=True)
def checked():
    return {"user": g.supertokens.get_user_id(), "payload": g.supertokens.get_access_token_payload()}


@app.post("/merge")
@verify_session()
def merge():
    g.supertokens.sync_merge_into_access_token_payload(request.json)
    return {"payload": g.supertokens.get_access_token_payload()}


@app.get("/data")
@verify_session()
def data():
    return g.supertokens.sync_get_session_data_from_database()


@app.put("/data")
@verify_session()
def set_data():
    g.supertokens.sync_update_session_data_in_database(request.json)
    return {}


@app.post("/sessions/<handle>/merge")
def merge_by_handle(handle):
    return {"found": syncio.merge_into_access_token_payload(handle, request.json)}


@app.get("/sessions/<handle>")
def information(handle):
    known = syncio.get_session_information(handle)
    if known is None:
        return {"found": False}
    return {
        "found": True,
        "user": known.user_id,
        "tenant": known.tenant_id,
        "data": known.session_data_in_database,
        "payload": known.custom_claims_in_access_token_payload,
    }


@app.delete("/sessions/<handle>")
def revoke(handle):
    return {"revoked": syncio.revoke_session(handle)}


@app.get("/users/<user>/sessions")
def sessions(user):
    return {"handles": syncio.get_all_session_handles_for_user(user)}


@app.delete("/users/<user>/sessions")
def revoke_all(user):
    return {"handles": syncio.revoke_all_sessions_for_user(user)}


@app.post("/jwt")
def jwt():
    return {"jwt": syncio.create_jwt(request.json, 60).jwt}


@app.get("/thefts")
def all_thefts():
    return {"thefts": thefts}


serve(app, sockets=[socket.socket(fileno=settings["fd"])], threads=4)
