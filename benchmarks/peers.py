"""Apps with other extensions, each as its documentation begins, and a client of each that is logged in."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask import Flask, abort, jsonify, session

from .ours import PAYLOAD, SECRET, ok
from .wsgi import Headers, Sent, bearer, call, cookies

USER = "user-1"


class Peer(NamedTuple):
    """An app with ``/protected``, what its client sends, and the headers of the response to its log-in."""

    app: Flask
    sent: Sent
    login: Headers = []  # noqa: RUF012 - never changed


class Maker(NamedTuple):
    """How to make a peer in a folder of its own; ``module`` is what must be installed, by the package of that name."""

    module: str
    package: str
    make: Callable[[str], Peer]

    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None


def _make_app(name: str, **settings: Any) -> Flask:
    app = Flask(name)
    app.config.update(SECRET_KEY=SECRET, **settings)
    return app


def _log_in(app: Flask) -> Peer:
    """Log a browser in by ``/login``."""
    headers = call(app, "POST", "/login")
    return Peer(app, cookies(headers), headers)


# -- Flask-JWT-Extended ------------------------------------------------------------------------------------------------


def jwt_extended(algorithm: str) -> Peer:
    from flask_jwt_extended import (
        JWTManager,
        create_access_token,
        create_refresh_token,
        jwt_required,
        set_access_cookies,
        set_refresh_cookies,
    )

    app = _make_app("jwt_extended", JWT_ALGORITHM=algorithm, **_jwt_keys(algorithm))
    JWTManager(app)
    app.add_url_rule("/protected", "protected", jwt_required()(ok))

    @app.post("/login")
    def login() -> Any:
        response = jsonify(ok())
        set_access_cookies(response, create_access_token(USER, additional_claims=PAYLOAD))
        set_refresh_cookies(response, create_refresh_token(USER))
        return response

    with app.app_context():
        sent = bearer(create_access_token(USER, additional_claims=PAYLOAD))
    return Peer(app, sent, call(app, "POST", "/login"))


def _jwt_keys(algorithm: str) -> dict[str, Any]:
    if algorithm == "HS256":
        return {"JWT_SECRET_KEY": SECRET}
    key: Any = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if algorithm == "RS256"
        else ec.generate_private_key(ec.SECP256R1())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {"JWT_PRIVATE_KEY": private, "JWT_PUBLIC_KEY": public}


# -- Flask-Login -------------------------------------------------------------------------------------------------------


def flask_login(_folder: str) -> Peer:
    """Its user loader looks into a dictionary: no database is counted."""
    from flask_login import LoginManager, UserMixin, login_required, login_user

    class User(UserMixin):  # type: ignore[misc]
        id = USER

    users = {USER: User()}
    app = _make_app("flask_login")
    LoginManager(app).user_loader(users.get)
    app.add_url_rule("/protected", "protected", login_required(ok))

    @app.post("/login")
    def login() -> Any:
        login_user(users[USER])
        return ok()

    return _log_in(app)


# -- Flask-Session -----------------------------------------------------------------------------------------------------


def session_in_files(folder: str) -> Peer:
    from cachelib import FileSystemCache

    return _flask_session(SESSION_TYPE="cachelib", SESSION_CACHELIB=FileSystemCache(f"{folder}/sessions", threshold=0))


def session_in_sql(folder: str) -> Peer:
    from flask_sqlalchemy import SQLAlchemy

    db = SQLAlchemy()
    uri = f"sqlite:///{folder}/session.sqlite3"
    return _flask_session(db.init_app, SESSION_TYPE="sqlalchemy", SESSION_SQLALCHEMY=db, SQLALCHEMY_DATABASE_URI=uri)


def _flask_session(prepare: Callable[[Flask], None] = lambda _: None, **settings: Any) -> Peer:
    from flask_session import Session

    app = _make_app("flask_session", **settings)
    prepare(app)
    Session(app)

    @app.post("/login")
    def login() -> Any:
        session.update(user=USER, **PAYLOAD)
        return ok()

    @app.get("/protected")
    def protected() -> Any:
        return ok() if "user" in session else abort(401)

    return _log_in(app)


# -- Flask-Security ----------------------------------------------------------------------------------------------------


def flask_security(folder: str) -> Peer:
    """Its user is in a SQLite file, as in its quick start."""
    from flask_security import Security, SQLAlchemyUserDatastore, auth_required, login_user
    from flask_security.models import fsqla_v3 as models
    from flask_sqlalchemy import SQLAlchemy

    app = _make_app(
        "flask_security", SECURITY_PASSWORD_SALT="1", SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder}/users.sqlite3"
    )
    db = SQLAlchemy(app)
    base: Any = models
    base.FsModels.set_db_info(db)
    user_class = type("User", (db.Model, models.FsUserMixin), {})
    role_class = type("Role", (db.Model, models.FsRoleMixin), {})
    users = SQLAlchemyUserDatastore(db, user_class, role_class)
    Security(app, users, register_blueprint=False)
    with app.app_context():
        db.create_all()
        users.create_user(email="user@example.com", password="not used here")
        db.session.commit()
    app.add_url_rule("/protected", "protected", auth_required("session")(ok))

    @app.post("/login")
    def login() -> Any:
        known: Any = users.find_user(email="user@example.com")
        login_user(known, authn_via=["password"])
        return ok()

    return _log_in(app)


MAKERS = {
    "Flask-JWT-Extended HS256": Maker("flask_jwt_extended", "flask-jwt-extended", lambda _: jwt_extended("HS256")),
    "Flask-JWT-Extended RS256": Maker("flask_jwt_extended", "flask-jwt-extended", lambda _: jwt_extended("RS256")),
    "Flask-JWT-Extended ES256": Maker("flask_jwt_extended", "flask-jwt-extended", lambda _: jwt_extended("ES256")),
    "Flask-Login": Maker("flask_login", "flask-login", flask_login),
    "Flask-Session, files": Maker("flask_session", "flask-session", session_in_files),
    "Flask-Session, SQLite": Maker("flask_session", "flask-session", session_in_sql),
    "Flask-Security, SQLite": Maker("flask_security", "flask-security", flask_security),
}


def close(app: Flask) -> None:
    """End the connections of Flask-SQLAlchemy, if the app has it."""
    if "sqlalchemy" in app.extensions:
        with app.app_context():
            for engine in app.extensions["sqlalchemy"].engines.values():
                engine.dispose()


def find_installed_makers() -> dict[str, Maker]:
    return {name: maker for name, maker in MAKERS.items() if maker.is_installed()}


def describe_missing() -> list[str]:
    """Return a sentence for each peer that is not installed."""
    missing = {maker.package for maker in MAKERS.values() if not maker.is_installed()}
    return [f"{package} is not installed and was left out: pip install {package}." for package in sorted(missing)]
